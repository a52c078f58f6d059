import { describe, expect, it } from "vitest";
import { candidateKey, newLeaseId } from "./names.ts";
import { isTransferRequestKey, planTransfer, transferRequestKey } from "./transfer.ts";
import type { Snapshot, ViewEntry } from "./view.ts";

const prefix = "e/";
const TAG = newLeaseId({ bits: () => 0n, fraction: () => 0 });

/** An entry of the queue; `lease` is what goes before the tag. */
function candidate(lease: number, under = prefix): ViewEntry {
  return entry(candidateKey(under, (BigInt(lease) << 24n) | TAG), (BigInt(lease) << 24n) | TAG);
}

function entry(key: string, leaseId: bigint): ViewEntry {
  return { key, rawKey: key, leaseId, value: new Uint8Array(), createRevision: 0n, modRevision: 0n };
}

function queue(...entries: readonly ViewEntry[]): Snapshot {
  const placed = entries.map((each, index) => ({ ...each, createRevision: BigInt(index + 1) }));
  return { revision: 1000n, entries: placed };
}

const many = (count: number): ViewEntry[] => Array.from({ length: count }, (_, index) => candidate(index + 1));

describe("planTransfer()", () => {
  it("skips whoever stands before the target, and nobody behind it", () => {
    const all = many(5);
    const { target, skipped } = planTransfer(queue(...all), all[3]?.key ?? "");
    expect(target.key).toBe(all[3]?.key);
    expect(skipped.map(({ key }) => key)).toEqual([all[1]?.key, all[2]?.key]);
    expect(planTransfer(queue(...all), all[1]?.key ?? "").skipped).toEqual([]);
  });

  it("refuses who leads already, who does not stand, and an empty election", () => {
    const [first, second] = many(2);
    const refusals: readonly [Snapshot, string, RegExp][] = [
      [queue(...many(2)), first?.key ?? "", /it leads already/],
      [queue(...many(1)), second?.key ?? "", /no such candidate/],
      [queue(...many(1)), candidate(2, "other/").key, /no such candidate/],
      [queue(), first?.key ?? "", /no such candidate/],
    ];
    for (const [snapshot, key, why] of refusals) expect(() => planTransfer(snapshot, key)).toThrow(why);
  });

  it("refuses a target that is in the queue but no candidate", () => {
    const others = [candidate(2, `${prefix}inner/`), entry(`${prefix}word`, TAG), entry(`${prefix}2`, 0n)];
    for (const other of others) {
      expect(() => planTransfer(queue(candidate(1), other), other.key)).toThrow(/no such candidate/);
    }
  });

  it("refuses to skip what is no Tenure node's candidate, and names it", () => {
    const others = [
      entry(candidateKey(prefix, 0x1234n), 0x1234n),
      candidate(2, `${prefix}inner/`),
      entry(`${prefix}word`, TAG),
      entry(`${prefix}2`, 0n),
    ];
    for (const other of others) {
      const target = candidate(3);
      expect(() => planTransfer(queue(candidate(1), other, target), target.key)).toThrow(`it would skip ${other.key},`);
      // Behind the target it does not matter.
      expect(planTransfer(queue(candidate(1), target, other), target.key).skipped).toEqual([]);
    }
  });

  it("skips as many as one transaction can delete, and no more", () => {
    const all = many(129);
    expect(planTransfer(queue(...all), all[127]?.key ?? "").skipped).toHaveLength(126);
    expect(() => planTransfer(queue(...all), all[128]?.key ?? "")).toThrow("127 candidates stand before it");
  });
});

describe("transferRequestKey()", () => {
  it("lies under the prefix and is no candidate's key", () => {
    expect(transferRequestKey(prefix)).toBe("e/transfer");
    expect(() => planTransfer(queue(candidate(1), entry(transferRequestKey(prefix), TAG)), "e/transfer")).toThrow(
      /no such candidate/,
    );
  });
});

describe("isTransferRequestKey()", () => {
  it.each(["e/", "ä/", "a/b/", "transfer/"])("knows the key of requests under %s from all others there", (under) => {
    const requestKey = transferRequestKey(under);
    expect(isTransferRequestKey(under, Buffer.from(requestKey))).toBe(true);
    for (const other of [`${requestKey}/`, `${under}7e9e7e`, under, `${under}x${requestKey.slice(under.length)}`]) {
      expect(isTransferRequestKey(under, Buffer.from(other))).toBe(false);
    }
  });
});
