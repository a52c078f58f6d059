import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { EtcdError } from "./errors.ts";
import { keyBytes, prefixEnd, rangeFields } from "./key-range.ts";

/** Whether etcd would count a key into a range. */
function inRange(key: Uint8Array, { key: from, rangeEnd }: ReturnType<typeof rangeFields>): boolean {
  if (rangeEnd.byteLength === 0) return Buffer.compare(key, from) === 0;
  if (Buffer.compare(key, from) < 0) return false;
  return (rangeEnd.byteLength === 1 && rangeEnd[0] === 0) || Buffer.compare(key, rangeEnd) < 0;
}

function startsWith(key: Uint8Array, prefix: Uint8Array): boolean {
  return Buffer.compare(key.subarray(0, prefix.byteLength), prefix) === 0;
}

// Few different bytes, so that keys often are near the border of a range.
const borderByte = fc.constantFrom(0, 1, 0x61, 0x62, 0xfe, 0xff);
const someBytes = fc.array(borderByte, { maxLength: 5 }).map((bytes) => Uint8Array.from(bytes));
const someKey = fc.array(borderByte, { minLength: 1, maxLength: 7 }).map((bytes) => Uint8Array.from(bytes));

describe("a prefix", () => {
  it("holds every key that starts with it and no other", () => {
    fc.assert(
      fc.property(someBytes, someKey, fc.boolean(), (prefix, rest, extend) => {
        const key = extend ? Uint8Array.from([...prefix, ...rest]) : rest;
        expect(inRange(key, rangeFields({ prefix }))).toBe(startsWith(key, prefix));
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    [[0x61], [0x62]],
    [
      [0x61, 0x2f],
      [0x61, 0x30],
    ],
    [[0x61, 0xff], [0x62]],
    [[0x61, 0xff, 0xff], [0x62]],
    [[0xff], [0]],
    [[0xff, 0xff], [0]],
  ])("of bytes %j ends before %j", (prefix, end) => {
    expect([...prefixEnd(Uint8Array.from(prefix))]).toEqual(end);
  });

  it("is left as it was", () => {
    const prefix = Uint8Array.of(1, 2);
    prefixEnd(prefix);
    expect([...prefix]).toEqual([1, 2]);
  });

  it("that is empty holds every key", () => {
    expect(rangeFields({ prefix: "" })).toEqual({ key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) });
  });
});

describe("a range", () => {
  it("of one key holds that key only", () => {
    const fields = rangeFields("clé");
    expect(Buffer.from(fields.key).toString()).toBe("clé");
    expect(fields.rangeEnd.byteLength).toBe(0);
  });

  it("holds its start and not its end", () => {
    const fields = rangeFields({ from: "b", to: "d" });
    expect(["a", "b", "c", "d"].filter((key) => inRange(Buffer.from(key), fields))).toEqual(["b", "c"]);
  });

  it("without an end goes up to the last key", () => {
    const fields = rangeFields({ from: "b" });
    expect(["a", "b", "\u{10ffff}"].filter((key) => inRange(Buffer.from(key), fields))).toEqual(["b", "\u{10ffff}"]);
  });

  it("from the empty key starts at the first one", () => {
    expect(inRange(Uint8Array.of(0), rangeFields({ from: "", to: "b" }))).toBe(true);
    expect(inRange(Buffer.from("b"), rangeFields({ from: "", to: "b" }))).toBe(false);
  });
});

describe("a key", () => {
  it("of text is UTF-8, and bytes are taken as they are", () => {
    expect([...keyBytes("é")]).toEqual([0xc3, 0xa9]);
    expect([...keyBytes(Uint8Array.of(0xff, 0))]).toEqual([0xff, 0]);
  });

  it("must not be empty", () => {
    for (const key of ["", new Uint8Array()]) {
      expect(() => rangeFields(key)).toThrow(EtcdError);
      expect(() => rangeFields(key)).toThrow("a key must not be empty");
    }
  });
});
