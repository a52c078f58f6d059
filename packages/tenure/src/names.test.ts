import { seededRandom, systemRandom } from "@tenure/etcd/runtime";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TenureError } from "./errors.ts";
import { candidateKey, electionPrefix, isCandidate, isTenureLease, newLeaseId } from "./names.ts";

function errorOf(action: () => unknown): TenureError {
  try {
    action();
  } catch (error) {
    if (error instanceof TenureError) return error;
    throw error;
  }
  throw new Error("it was accepted");
}

describe("an election's prefix", () => {
  it.each([
    ["e", "e/"],
    ["/e", "/e/"],
    ["/e/", "/e//"],
    ["//", "///"],
    ["a/b", "a/b/"],
    [" ", " /"],
    ["größe 😀", "größe 😀/"],
  ])("of %j without a namespace is the name byte for byte and a slash", (name, prefix) => {
    expect(electionPrefix(name)).toBe(prefix);
    expect(electionPrefix(name, "")).toBe(prefix);
  });

  it.each([
    ["/openresty/-concurrency/", "process", "/openresty/-concurrency/process/"],
    ["/ns/", "/process", "/ns/process/"],
    ["/ns/", "///a/b/", "/ns/a/b//"],
    ["ns", "process", "nsprocess/"],
    ["/", "/e", "/e/"],
  ])("in namespace %j has no leading slashes of the name %j", (namespace, name, prefix) => {
    expect(electionPrefix(name, namespace)).toBe(prefix);
  });

  it.each([
    ["", ""],
    ["", "ns/"],
    ["/", "ns/"],
    ["///", "ns/"],
  ])("needs a name: %j in namespace %j is refused", (name, namespace) => {
    expect(errorOf(() => electionPrefix(name, namespace))).toMatchObject({
      code: "invalid-argument",
      message: "the election's name is empty",
    });
  });

  it("holds no control characters, and the message shows where they are", () => {
    for (const code of [0, 1, 9, 10, 13, 31, 127, 128, 159]) {
      const text = `a${String.fromCharCode(code)}b`;
      const inName = errorOf(() => electionPrefix(text));
      expect(inName.code).toBe("invalid-argument");
      expect(inName.message).toContain("name");
      expect(inName.message).toContain("control character");
      expect(inName.message).not.toContain("\n");
      expect(errorOf(() => electionPrefix("e", text)).message).toContain("namespace");
    }
    for (const text of ["\u00a0", "\u0020", "\u007e"]) expect(electionPrefix(text)).toBe(`${text}/`);
  });

  it("holds no half of a surrogate pair, which would become another character on the wire", () => {
    for (const text of ["a\ud800", "\udc00b", "\udc00\ud800"]) {
      expect(errorOf(() => electionPrefix(text)).message).toContain("not valid Unicode");
      expect(errorOf(() => electionPrefix("e", text)).code).toBe("invalid-argument");
    }
  });
});

describe("a candidate's key", () => {
  it.each([
    [1n, "e/1"],
    [0x694d_7f3a_9e9e_7en, "e/694d7f3a9e9e7e"],
    [0x7fff_ffff_ffff_ffffn, "e/7fffffffffffffff"],
    [-1n, "e/-1"],
    [-0x8000_0000_0000_0000n, "e/-8000000000000000"],
  ])("for lease %d is %s, as Go writes it", (leaseId, key) => {
    expect(candidateKey("e/", leaseId)).toBe(key);
  });

  it("is a candidate's for every lease but none", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (leaseId) => {
        expect(isCandidate("e/", candidateKey("e/", leaseId), leaseId)).toBe(leaseId !== 0n);
      }),
    );
  });

  it.each(["e/", "e/x", "e/1/2", "e/1/", "e/ab/cd", "e/A1", "e/--1", "e/1-", "e/0x1", "e/ 1", "e/1\n", "f/1", "1"])(
    "is one hexadecimal segment under the prefix, which %j is not",
    (key) => {
      expect(isCandidate("e/", key, 7n)).toBe(false);
    },
  );

  it("is not one without a lease", () => {
    expect(isCandidate("e/", "e/1", 7n)).toBe(true);
    expect(isCandidate("e/", "e/1", 0n)).toBe(false);
  });
});

describe("a lease id of ours", () => {
  it("is positive, fits etcd's 63 bits, and carries the tag", () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const leaseId = newLeaseId(seededRandom(seed));
        expect(leaseId).toBeGreaterThan(0n);
        expect(leaseId).toBeLessThan(2n ** 63n);
        expect(isTenureLease(leaseId)).toBe(true);
      }),
    );
  });

  it("is valid for the lowest and the highest chance", () => {
    for (const value of [0n, 2n ** 39n - 1n]) {
      const leaseId = newLeaseId({ fraction: () => 0, bits: (count) => BigInt.asUintN(count, value) });
      expect(leaseId > 0n && leaseId < 2n ** 63n && isTenureLease(leaseId)).toBe(true);
    }
  });

  it("is another one each time", () => {
    expect(new Set(Array.from({ length: 1000 }, () => newLeaseId(systemRandom))).size).toBe(1000);
  });

  it("can be told from nearly every other", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (leaseId) => {
        expect(isTenureLease(leaseId)).toBe((BigInt.asUintN(64, leaseId) & 0xff_ffffn) === 0x7e_9e_7en);
      }),
    );
    expect(isTenureLease(0n)).toBe(false);
    expect(isTenureLease(0x7e_9e_7fn)).toBe(false);
  });
});
