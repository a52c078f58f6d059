import { ErrorCode } from "./frames.ts";
import { HUFFMAN_CODE_BITS } from "./hpack-tables.ts";
import { Http2Error } from "./http2-error.ts";

const END_OF_STRING = 256;
const SHORTEST_CODE_BITS = 5;
/** More than these at the end could have been left out. */
const MAX_PADDING_BITS = 7;

// A step of the decoder takes four bits and finishes at most one byte, for no code is that short. What it gives is the
// node where the next step begins, the byte that was finished, and whether there is one.
const BYTE_SHIFT = 8;
const FINISHED = 1 << 16;
/** The bits are those of the end of the string, which is never sent. */
const REFUSED = 1 << 17;

/** The inner nodes of the tree of all codes: what a 0 and a 1 lead to, a node by its number or a leaf as `~byte`. */
type Tree = readonly (readonly [zero: number, one: number])[];

const TREE = treeOf(HUFFMAN_CODE_BITS);
const STEPS = stepsOf(TREE);
const MAY_END = paddingNodes(TREE);

/** Strings up to this size are put together here: one at a time. */
const room = Buffer.allocUnsafe(1024);

/**
 * The text that a Huffman code stands for (RFC 7541, section 5.2), each byte as the character of its number.
 * @throws Http2Error `compressionError` for bits that are no codes, and for a wrong padding
 */
export function decodeHuffman(bytes: Uint8Array, start: number, end: number): string {
  const maxLength = Math.floor(((end - start) * 8) / SHORTEST_CODE_BITS);
  const text = maxLength <= room.byteLength ? room : Buffer.allocUnsafe(maxLength);
  let length = 0;
  let node = 0;
  for (let at = start; at < end; at++) {
    const byte = bytes[at] ?? 0;
    const first = STEPS[(node << 4) | (byte >>> 4)] ?? REFUSED;
    if ((first & FINISHED) !== 0) text[length++] = first >>> BYTE_SHIFT;
    const second = STEPS[((first & 0xff) << 4) | (byte & 0xf)] ?? REFUSED;
    if ((second & FINISHED) !== 0) text[length++] = second >>> BYTE_SHIFT;
    if (((first | second) & REFUSED) !== 0) throw malformed("the end of the string is in its middle");
    node = second & 0xff;
  }
  if (MAY_END[node] !== 1) throw malformed("wrong padding");
  return text.toString("latin1", 0, length);
}

function malformed(why: string): Http2Error {
  return new Http2Error(ErrorCode.compressionError, `a string that is no Huffman code: ${why}`);
}

function treeOf(codeBits: readonly number[]): Tree {
  const tree: [number, number][] = [[0, 0]];
  const symbols = codeBits.map((bits, symbol) => ({ bits, symbol })).toSorted((a, b) => a.bits - b.bits);
  let code = 0;
  let codeLength = 0;
  for (const { bits, symbol } of symbols) {
    code <<= bits - codeLength;
    codeLength = bits;
    let node = tree[0];
    for (let rest = bits - 1; node !== undefined; rest--) {
      const side = ((code >>> rest) & 1) as 0 | 1;
      if (rest === 0) {
        node[side] = ~symbol;
        break;
      }
      // Nothing leads back to the root: 0 says that there is no node yet.
      if (node[side] === 0) node[side] = tree.push([0, 0]) - 1;
      node = tree[node[side]];
    }
    code++;
  }
  return tree;
}

function stepsOf(tree: Tree): Int32Array {
  const steps = new Int32Array(tree.length << 4);
  for (let index = 0; index < steps.length; index++) {
    let node = index >>> 4;
    let finished = 0;
    for (let rest = 3; rest >= 0; rest--) {
      const next = tree[node]?.[((index >>> rest) & 1) as 0 | 1] ?? 0;
      node = Math.max(next, 0);
      if (~next === END_OF_STRING) finished = REFUSED;
      else if (next < 0) finished = FINISHED | (~next << BYTE_SHIFT);
    }
    steps[index] = finished | node;
  }
  return steps;
}

/** The nodes where a string may end: after whole bytes, and within its padding, which is all ones. */
function paddingNodes(tree: Tree): Uint8Array {
  const nodes = new Uint8Array(tree.length);
  let node = 0;
  for (let bits = 0; bits <= MAX_PADDING_BITS; bits++) {
    nodes[node] = 1;
    node = tree[node]?.[1] ?? 0;
  }
  return nodes;
}
