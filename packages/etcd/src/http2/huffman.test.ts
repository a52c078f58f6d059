import { describe, expect, it } from "vitest";
import { seededRandom } from "../runtime/random.ts";
import { ErrorCode } from "./frames.ts";
import { HUFFMAN_CODE_BITS } from "./hpack-tables.ts";
import { Http2Error } from "./http2-error.ts";
import { decodeHuffman } from "./huffman.ts";

const END_OF_STRING = 256;

/** Each code as its bits; the last one is that of the end of a string. */
const CODES = codes();

function codes(): readonly string[] {
  const found: string[] = [];
  const symbols = [...HUFFMAN_CODE_BITS.entries()].toSorted((a, b) => a[1] - b[1] || a[0] - b[0]);
  let code = 0n;
  let length = 0;
  for (const [symbol, bits] of symbols) {
    code <<= BigInt(bits - length);
    length = bits;
    found[symbol] = code.toString(2).padStart(bits, "0");
    code++;
  }
  return found;
}

function bytesOf(bits: string): Buffer {
  return Buffer.from((bits.match(/.{1,8}/g) ?? []).map((byte) => Number.parseInt(byte.padEnd(8, "1"), 2)));
}

function encode(text: string): Buffer {
  return bytesOf([...Buffer.from(text, "latin1")].map((byte) => CODES[byte]).join(""));
}

function decode(bytes: Uint8Array): string {
  return decodeHuffman(bytes, 0, bytes.byteLength);
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

describe("the Huffman code", () => {
  it.each([
    ["0", 0x0, 5],
    ["t", 0x9, 5],
    [" ", 0x14, 6],
    ["A", 0x21, 6],
    [":", 0x5c, 7],
    ["z", 0x7b, 7],
    ["&", 0xf8, 8],
    ["Z", 0xfd, 8],
    ["!", 0x3f8, 10],
    ["|", 0x7fc, 11],
    ["#", 0xffa, 12],
    ["~", 0x1ffd, 13],
    ["^", 0x3ffc, 14],
    ["{", 0x7ffe, 15],
    ["\\", 0x7fff0, 19],
    ["\x80", 0xfffe6, 20],
    ["\xa1", 0x1fffdd, 21],
    ["\x01", 0x7fffd8, 23],
    ["\t", 0xffffea, 24],
    ["\xc7", 0x1ffffec, 25],
    ["\xff", 0x3ffffee, 26],
    ["\xfe", 0x7fffff0, 27],
    ["\x7f", 0xffffffc, 28],
    ["\xf9", 0xffffffe, 28],
    ["\n", 0x3ffffffc, 30],
    ["\x16", 0x3ffffffe, 30],
  ])("of %j is that of the standard", (character, code, length) => {
    expect(decode(bytesOf(code.toString(2).padStart(length, "0")))).toBe(character);
  });

  it.each([
    ["www.example.com", "f1e3c2e5f23a6ba0ab90f4ff"],
    ["no-cache", "a8eb10649cbf"],
    ["custom-key", "25a849e95ba97d7f"],
    ["custom-value", "25a849e95bb8e8b4bf"],
    ["302", "6402"],
    ["private", "aec3771a4b"],
    ["Mon, 21 Oct 2013 20:13:21 GMT", "d07abe941054d444a8200595040b8166e082a62d1bff"],
    ["https://www.example.com", "9d29ad171863c78f0b97c8e9ae82ae43d3"],
    ["307", "640eff"],
    ["gzip", "9bd9ab"],
    [
      "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
      "94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
    ],
    ["", ""],
  ])("gives %j for the bytes of the standard", (text, hex) => {
    expect(decode(Buffer.from(hex, "hex"))).toBe(text);
    expect(encode(text).toString("hex")).toBe(hex);
  });

  it("gives each byte back, alone and before and after each other", () => {
    const all = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte));
    const texts = all.flatMap((one) => [one, ...all.map((other) => one + other)]);
    expect(texts.filter((text) => decode(encode(text)) !== text)).toEqual([]);
  });

  it("gives texts of any length back", () => {
    const random = seededRandom(7541);
    for (const length of [1, 2, 3, 100, 1023, 1024, 1025, 1640, 70_000]) {
      const text = Array.from({ length }, () => String.fromCharCode(Number(random.bits(8)))).join("");
      expect(decode(encode(text))).toBe(text);
      expect(decode(encode("0".repeat(length)))).toBe("0".repeat(length));
    }
  });

  it("reads the bytes between its borders only", () => {
    const bytes = Buffer.concat([Buffer.of(0xff), encode("no-cache"), Buffer.of(0xff)]);
    expect(decodeHuffman(bytes, 1, bytes.byteLength - 1)).toBe("no-cache");
  });
});

describe("a string that is no Huffman code", () => {
  it.each([
    ["the end of the string alone", CODES[END_OF_STRING] ?? ""],
    ["the end of the string after a text", `${CODES[0x61]}${CODES[END_OF_STRING]}`],
    ["the end of the string within a text", `${CODES[0x61]}${CODES[END_OF_STRING]}${CODES[0x61]}`],
    ["eight bits of padding", `${CODES[0x26]}11111111`],
    ["nothing but padding", "11111111"],
    ["more than eight bits of padding", `${CODES[0x61]}11111111111`],
    ["a padding of zeros", `${CODES[0x61]}000`],
    ["a padding whose first bit is not one", `${CODES[0x61]}011`],
    ["a padding whose last bit is not one", `${CODES[0x61]}110`],
    ["the beginning of a longer code", (CODES[0xff] ?? "").slice(0, 16)],
  ])("is refused: %s", (_what, bits) => {
    expect(codeOf(() => decode(bytesOf(bits)))).toBe(ErrorCode.compressionError);
  });

  it("is refused wherever it is cut, but where a code ends", () => {
    const text = "Mon, 21 Oct 2013 \xe9\x00";
    const bytes = encode(text);
    for (let length = 0; length < bytes.byteLength; length++) {
      const cut = bytes.subarray(0, length);
      const read = outcome(cut);
      expect(read === undefined || encode(read).equals(cut)).toBe(true);
    }
  });

  it("is refused unless it is what an encoder writes, whatever the bytes are", () => {
    const random = seededRandom(1);
    const seen = { read: 0, refused: 0 };
    for (let round = 0; round < 20_000; round++) {
      const bytes = Buffer.from(Array.from({ length: Number(random.bits(3)) }, () => Number(random.bits(8))));
      const read = outcome(bytes);
      if (read === undefined) seen.refused++;
      else seen.read++;
      expect(read === undefined || encode(read).equals(bytes)).toBe(true);
    }
    expect(seen.read).toBeGreaterThan(100);
    expect(seen.refused).toBeGreaterThan(100);
  });
});

/** Undefined for what is refused. */
function outcome(bytes: Uint8Array): string | undefined {
  try {
    return decode(bytes);
  } catch (error) {
    if (error instanceof Http2Error && error.code === ErrorCode.compressionError) return undefined;
    throw error;
  }
}
