/**
 * Keys as this store handles them: strings with one character for each byte (latin1), so that `<` compares bytes.
 *
 * @module
 */

/** One key, or all keys from `start` up to but not including `end`; without an `end`, all keys from `start` on. */
export type KeyRange =
  | { readonly kind: "key"; readonly key: string }
  | { readonly kind: "range"; readonly start: string; readonly end: string | undefined };

/** The end of a range that etcd reads as "no end". */
const NO_END = "\0";

/** Turns the bytes of a key into the string the store uses. */
export function keyFromBytes(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}

/** Turns a key of the store back into its bytes. */
export function keyToBytes(key: string): Uint8Array {
  return Buffer.from(key, "latin1");
}

/** Reads the pair of `key` and `range_end` that most requests of etcd carry. */
export function keyRange(key: Uint8Array, rangeEnd: Uint8Array): KeyRange {
  const start = keyFromBytes(key);
  if (rangeEnd.byteLength === 0) return { kind: "key", key: start };
  const end = keyFromBytes(rangeEnd);
  return { kind: "range", start, end: end === NO_END ? undefined : end };
}

/** Whether a key lies in a range. */
export function inRange(range: KeyRange, key: string): boolean {
  if (range.kind === "key") return range.key === key;
  return key >= range.start && (range.end === undefined || key < range.end);
}
