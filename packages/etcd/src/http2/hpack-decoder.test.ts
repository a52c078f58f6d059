import { describe, expect, it } from "vitest";
import { type Random, seededRandom } from "../runtime/random.ts";
import { ErrorCode } from "./frames.ts";
import { HpackDecoder } from "./hpack-decoder.ts";
import { HpackEncoder } from "./hpack-encoder.ts";
import { Http2Error } from "./http2-error.ts";

const MAX_LIST_BYTES = 8192;
const STATIC_ENTRIES = 61;

function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(" ", ""), "hex");
}

function decode(decoder: HpackDecoder, block: string | Uint8Array): [string, string][] {
  return [...decoder.decode(typeof block === "string" ? hex(block) : block, MAX_LIST_BYTES)];
}

function codeOf(action: () => void): number {
  try {
    action();
  } catch (error) {
    if (error instanceof Http2Error) return error.code;
    throw error;
  }
  throw new Error("nothing was thrown");
}

/** What the decoder refuses a block with. */
function refusal(decoder: HpackDecoder, block: string | Uint8Array): number {
  return codeOf(() => decode(decoder, block));
}

/** The decoder's table, the newest entry first: asked for one by one until there is no more. */
function tableOf(decoder: HpackDecoder): [string, string][] {
  const entries: [string, string][] = [];
  for (;;) {
    try {
      entries.push(...decoder.decode(indexed(STATIC_ENTRIES + 1 + entries.length), 1 << 20));
    } catch (error) {
      if (error instanceof Http2Error && error.code === ErrorCode.compressionError) return entries;
      throw error;
    }
  }
}

function tableBytes(decoder: HpackDecoder): number {
  return tableOf(decoder).reduce((sum, [name, value]) => sum + name.length + value.length + 32, 0);
}

function indexed(index: number): Buffer {
  return number(0x80, 0x7f, index);
}

function number(bits: number, prefix: number, value: number): Buffer {
  if (value < prefix) return Buffer.of(bits | value);
  const bytes = [bits | prefix];
  let rest = value - prefix;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  return Buffer.from([...bytes, rest]);
}

/** A literal with a new name that is added to the table. */
function added(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.of(0x40), string(name), string(value)]);
}

function string(text: string): Buffer {
  return Buffer.concat([number(0, 0x7f, text.length), Buffer.from(text, "latin1")]);
}

function randomBytes(random: Random, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => Number(random.bits(8))));
}

/** Reads a block; false if it is refused. */
function isRead(decoder: HpackDecoder, block: Uint8Array): boolean {
  try {
    const headers = decoder.decode(block, MAX_LIST_BYTES);
    const bytes = [...headers].reduce((sum, [name, value]) => sum + name.length + value.length, 0);
    if (bytes > MAX_LIST_BYTES) throw new Error(`${bytes} bytes of headers`);
    return true;
  } catch (error) {
    if (error instanceof Http2Error) return false;
    throw error;
  }
}

describe("a block", () => {
  it("has each entry of the static table", () => {
    const decoder = new HpackDecoder();
    const all = Array.from({ length: STATIC_ENTRIES }, (_, place) => decode(decoder, indexed(place + 1))).flat();
    expect(all[0]).toEqual([":authority", ""]);
    expect(all[15]).toEqual(["accept-encoding", "gzip, deflate"]);
    expect(all[30]).toEqual(["content-type", ""]);
    expect(all[60]).toEqual(["www-authenticate", ""]);
    expect(all).toHaveLength(STATIC_ENTRIES);
  });

  it("may be empty", () => {
    expect(decode(new HpackDecoder(), "")).toEqual([]);
  });

  it("has the values of a name joined that comes again", () => {
    const block = Buffer.concat([added("a", "1"), added("b", "2"), added("a", ""), added("a", "3")]);
    expect(decode(new HpackDecoder(), block)).toEqual([
      ["a", "1, , 3"],
      ["b", "2"],
    ]);
  });

  it("has values that are any bytes, and names that mean something to objects", () => {
    const value = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)).toString("latin1");
    const names = ["__proto__", "constructor", ""];
    const block = Buffer.concat(names.map((name) => added(name, value)));
    expect(decode(new HpackDecoder(), block)).toEqual(names.map((name) => [name, value]));
  });

  it("is read from any view of memory", () => {
    const memory = new Uint8Array([0xff, ...added("name", "value"), 0xff]);
    expect(decode(new HpackDecoder(), memory.subarray(1, -1))).toEqual([["name", "value"]]);
  });

  it("takes names from entries that it displaces", () => {
    const decoder = new HpackDecoder();
    const long = "v".repeat(4096 - 32 - 4);
    expect(decode(decoder, added("name", long))).toEqual([["name", long]]);
    expect(decode(decoder, Buffer.concat([Buffer.of(0x7e), string("short".repeat(10))]))).toEqual([
      ["name", "short".repeat(10)],
    ]);
    expect(tableOf(decoder)).toEqual([["name", "short".repeat(10)]]);
  });

  it("empties the table with an entry that is larger than the table, and has it all the same", () => {
    const decoder = new HpackDecoder();
    const fits = "v".repeat(4096 - 32 - 4);
    decode(decoder, added("a", "1"));
    expect(decode(decoder, added("name", fits))).toEqual([["name", fits]]);
    expect(tableOf(decoder)).toEqual([["name", fits]]);
    expect(decode(decoder, added("name", `${fits}v`))).toEqual([["name", `${fits}v`]]);
    expect(tableOf(decoder)).toEqual([]);
  });
});

describe("the size of the table", () => {
  it("may be used to the last byte", () => {
    const decoder = new HpackDecoder();
    const fields: [string, string][] = [
      ["a", "v".repeat(2048 - 32 - 1)],
      ["b", "v".repeat(2048 - 32 - 1)],
    ];
    for (const [name, value] of fields) decode(decoder, added(name, value));
    expect(tableOf(decoder)).toEqual(fields.toReversed());
    decode(decoder, number(0x20, 0x1f, 2048));
    expect(tableOf(decoder)).toEqual(fields.slice(1));
    decode(decoder, number(0x20, 0x1f, 2047));
    expect(tableOf(decoder)).toEqual([]);
  });

  it("may be reduced and raised, which leaves out the oldest entries", () => {
    const decoder = new HpackDecoder();
    decode(decoder, Buffer.concat([added("a", "1"), added("b", "2"), added("c", "3")]));
    expect(decode(decoder, Buffer.concat([number(0x20, 0x1f, 70), number(0x20, 0x1f, 4096), indexed(62)]))).toEqual([
      ["c", "3"],
    ]);
    expect(tableOf(decoder)).toEqual([
      ["c", "3"],
      ["b", "2"],
    ]);
    decode(decoder, number(0x20, 0x1f, 0));
    expect(tableOf(decoder)).toEqual([]);
    decode(decoder, added("d", "4"));
    expect(tableOf(decoder)).toEqual([]);
  });

  it.each([
    ["above what is allowed", number(0x20, 0x1f, 4097)],
    ["far above what is allowed", hex("3fffffffff7f")],
    ["after a field that could be another one", hex("82200000")],
    ["after a field", Buffer.concat([indexed(2), number(0x20, 0x1f, 100)])],
    ["three times", Buffer.concat([1, 2, 3].map((bytes) => number(0x20, 0x1f, bytes)))],
  ])("may not be given %s", (_what, block) => {
    expect(refusal(new HpackDecoder(), block)).toBe(ErrorCode.compressionError);
  });

  it("may be larger than usual where that is allowed", () => {
    const decoder = new HpackDecoder(65_536);
    decode(decoder, Buffer.concat([number(0x20, 0x1f, 65_536), added("a", "v".repeat(5000))]));
    expect(tableOf(decoder)).toHaveLength(1);
    const other = new HpackDecoder(65_536);
    decode(other, added("a", "v".repeat(5000)));
    expect(tableOf(other)).toEqual([]);
  });

  it("must be given first where it is smaller than usual", () => {
    expect(refusal(new HpackDecoder(4095), "82")).toBe(ErrorCode.compressionError);
    const decoder = new HpackDecoder(4095);
    expect(decode(decoder, Buffer.concat([number(0x20, 0x1f, 0), indexed(2)]))).toEqual([[":method", "GET"]]);
    expect(decode(decoder, "82")).toEqual([[":method", "GET"]]);
  });
});

describe("a number", () => {
  it("is read as in the examples of the standard", () => {
    // As sizes of the table, which have the prefix of five bits that the examples have.
    expect(decode(new HpackDecoder(), "2a")).toEqual([]);
    expect(decode(new HpackDecoder(), "3f9a0a")).toEqual([]);
    expect(refusal(new HpackDecoder(9), "2a")).toBe(ErrorCode.compressionError);
    expect(decode(new HpackDecoder(10), "2a")).toEqual([]);
    expect(refusal(new HpackDecoder(1336), "3f9a0a")).toBe(ErrorCode.compressionError);
    expect(decode(new HpackDecoder(1337), "3f9a0a")).toEqual([]);
    // Zeros in front are no error, as long as there are few.
    expect(decode(new HpackDecoder(), "3f8080808000")).toEqual([]);
  });
});

describe("a block that breaks the rules", () => {
  it.each([
    ["index 0", "80"],
    ["an index beyond the static table", "be"],
    ["an index that is very large", "ffffffffff7f"],
    ["a name of an index beyond the tables", "7e0161"],
    ["a name of an index beyond the tables that is not added", "0f2f0161"],
    ["an index that ends early", "ff"],
    ["an index that does not end", "ffffffffffffffff"],
    ["an index with zeros without end", "ff8080808080808080808000"],
    ["a size of the table that ends early", "3f"],
    ["a size of the table with too many zeros", "3f808080808000"],
    ["no name", "40"],
    ["a name that ends early", "400361"],
    ["no value", "400161"],
    ["a value that ends early", "4001610262"],
    ["a length that ends early", "40017f7f"],
    ["a length beyond all", "40ffffffffff7f"],
    ["a Huffman code that ends early", "408261"],
    ["a Huffman code with a wrong padding", "40811801 61"],
    ["a Huffman code of the end of the string", "4084ffffffff0161"],
  ])("is refused: %s", (_what, block) => {
    expect(refusal(new HpackDecoder(), block)).toBe(ErrorCode.compressionError);
  });

  it("is refused wherever it is cut within a field", () => {
    const fields = [added("name", "value"), Buffer.of(0x82), number(0x80, 0x7f, 62), Buffer.from("0f1001610f", "hex")];
    const last = Buffer.concat([added("long", "v".repeat(200)), hex("418cf1e3c2e5f23a6ba0ab90f4ff")]);
    const block = Buffer.concat([...fields.slice(0, 3), last]);
    const whole = new Set([0, 12, 13, 14, 14 + 208, block.byteLength]);
    for (let length = 0; length <= block.byteLength; length++) {
      const cut = block.subarray(0, length);
      expect([length, isRead(new HpackDecoder(), cut)]).toEqual([length, whole.has(length)]);
    }
  });
});

describe("a list of headers", () => {
  const field = added("name", "value");

  it("may be as large as is allowed and not one byte larger", () => {
    const listBytes = 2 * (4 + 5 + 32);
    const block = Buffer.concat([field, field]);
    expect([...new HpackDecoder().decode(block, listBytes)]).toEqual([["name", "value, value"]]);
    expect(codeOf(() => new HpackDecoder().decode(block, listBytes - 1))).toBe(ErrorCode.enhanceYourCalm);
  });

  it("that is too large adds to the table all the same", () => {
    const decoder = new HpackDecoder();
    const block = Buffer.concat([added("a", "1"), field, added("b", "2")]);
    expect(codeOf(() => decoder.decode(block, 50))).toBe(ErrorCode.enhanceYourCalm);
    expect(tableOf(decoder)).toEqual([
      ["b", "2"],
      ["name", "value"],
      ["a", "1"],
    ]);
  });

  it("that is too large hides no error after it", () => {
    const block = Buffer.concat([field, field, Buffer.of(0x80)]);
    expect(codeOf(() => new HpackDecoder().decode(block, 50))).toBe(ErrorCode.compressionError);
  });

  it("is not put together from 256 MiB that a block of 64 KiB stands for", () => {
    const decoder = new HpackDecoder();
    decode(decoder, added("bomb", "v".repeat(4000)));
    expect(codeOf(() => decoder.decode(Buffer.alloc(65_536, 0xbe), MAX_LIST_BYTES))).toBe(ErrorCode.enhanceYourCalm);
    expect(decode(decoder, "be")).toEqual([["bomb", "v".repeat(4000)]]);
  });
});

describe("any bytes at all", () => {
  it("are read or refused, and leave the table in its bounds", () => {
    const random = seededRandom(7541);
    const seen = { read: 0, refused: 0 };
    for (let round = 0; round < 300; round++) {
      const decoder = new HpackDecoder();
      for (let block = 0; block < 40; block++) {
        const length = Math.floor(random.fraction() ** 3 * 300);
        if (isRead(decoder, randomBytes(random, length))) seen.read++;
        else seen.refused++;
      }
      expect(tableBytes(decoder)).toBeLessThanOrEqual(4096);
    }
    expect(seen.read).toBeGreaterThan(100);
    expect(seen.refused).toBeGreaterThan(100);
  });

  it("made from blocks that are right are read or refused, and leave the table in its bounds", () => {
    const random = seededRandom(9113);
    const seen = { read: 0, refused: 0 };
    for (let round = 0; round < 200; round++) {
      const [decoder, encoder] = [new HpackDecoder(), new HpackEncoder()];
      for (let block = 0; block < 20; block++) {
        const fields = Array.from({ length: 1 + Number(random.bits(3)) }, (): [string, string] => [
          `name-${random.bits(3)}`,
          "v".repeat(Math.floor(random.fraction() ** 4 * 2000)),
        ]);
        const bytes = Buffer.concat([encoder.encode(fields), hex("418cf1e3c2e5f23a6ba0ab90f4ff")]);
        for (let change = Number(random.bits(2)); change > 0; change--) {
          bytes[Math.floor(random.fraction() ** 2 * bytes.byteLength)] = Number(random.bits(8));
        }
        if (isRead(decoder, bytes)) seen.read++;
        else seen.refused++;
      }
      expect(tableBytes(decoder)).toBeLessThanOrEqual(4096);
    }
    expect(seen.read).toBeGreaterThan(100);
    expect(seen.refused).toBeGreaterThan(100);
  });
});
