import { ErrorCode } from "./frames.ts";
import { HUFFMAN_CODE_BITS } from "./hpack-tables.ts";
import { Http2Error } from "./http2-error.ts";

const END_OF_STRING = 256;
const SHORTEST_CODE_BITS = 5;
const LONGEST_CODE_BITS = 30;
/** More than these at the end could have been left out. */
const MAX_PADDING_BITS = 7;

/**
 * The codes of each length follow one another, so it takes three numbers a length to know them all: how many there are,
 * the first of them, and where its symbol stands. Steps of a bit are slower than a tree of larger ones, but such a tree
 * takes milliseconds to build, and etcd sends a handful of these strings in the life of a connection.
 */
interface Codes {
  readonly symbols: readonly number[];
  readonly counts: readonly number[];
  readonly firsts: readonly number[];
  readonly places: readonly number[];
}

const CODES = codesOf(HUFFMAN_CODE_BITS);

/** Strings up to this size are put together here: one at a time. */
const room = Buffer.allocUnsafe(1024);

/**
 * The text that a Huffman code stands for (RFC 7541, section 5.2), each byte as the character of its number.
 * @throws Http2Error `compressionError` for bits that are no codes, and for a wrong padding
 */
export function decodeHuffman(bytes: Uint8Array, start: number, end: number): string {
  const { symbols, counts, firsts, places } = CODES;
  const maxLength = Math.floor(((end - start) * 8) / SHORTEST_CODE_BITS);
  const text = maxLength <= room.byteLength ? room : Buffer.allocUnsafe(maxLength);
  let length = 0;
  let code = 0;
  let bits = 0;
  for (let at = start; at < end; at++) {
    const byte = bytes[at] ?? 0;
    for (let shift = 7; shift >= 0; shift--) {
      code = (code << 1) | ((byte >>> shift) & 1);
      bits++;
      const place = code - (firsts[bits] ?? 0);
      if (place >= (counts[bits] ?? 0)) continue;
      const symbol = symbols[(places[bits] ?? 0) + place] ?? END_OF_STRING;
      if (symbol === END_OF_STRING) throw malformed("the end of the string is in its middle");
      text[length++] = symbol;
      code = 0;
      bits = 0;
    }
  }
  // The padding is the beginning of the end of a string: all ones.
  if (bits > MAX_PADDING_BITS || code !== 2 ** bits - 1) throw malformed("wrong padding");
  return text.toString("latin1", 0, length);
}

function malformed(why: string): Http2Error {
  return new Http2Error(ErrorCode.compressionError, `a string that is no Huffman code: ${why}`);
}

function codesOf(codeBits: readonly number[]): Codes {
  const symbols = codeBits.map((_, symbol) => symbol).toSorted((a, b) => (codeBits[a] ?? 0) - (codeBits[b] ?? 0));
  const counts = Array.from({ length: LONGEST_CODE_BITS + 1 }, () => 0);
  for (const bits of codeBits) counts[bits] = (counts[bits] ?? 0) + 1;
  const firsts = [0];
  const places = [0];
  for (let bits = 1; bits <= LONGEST_CODE_BITS; bits++) {
    const count = counts[bits - 1] ?? 0;
    firsts.push(((firsts[bits - 1] ?? 0) + count) * 2);
    places.push((places[bits - 1] ?? 0) + count);
  }
  return { symbols, counts, firsts, places };
}
