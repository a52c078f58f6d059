import { EtcdError } from "./errors.ts";

/** A key: text is sent as UTF-8. */
export type Key = string | Uint8Array;

/** Which keys a request is about. */
export type KeyRange =
  /** One key. */
  | Key
  /** Every key that starts with these bytes; an empty prefix means every key. */
  | { readonly prefix: Key }
  /** Keys from `from` up to, not including, `to`; without `to`, up to the last key. */
  | { readonly from: Key; readonly to?: Key };

/** The two fields of etcd's requests that say which keys are meant. */
export interface RangeFields {
  readonly key: Uint8Array;
  readonly rangeEnd: Uint8Array;
}

const NOTHING = new Uint8Array();
/** A range end of one zero byte stands for "up to the last key". */
const TO_THE_END = Uint8Array.of(0);

/** Text as UTF-8; bytes as they are. */
export function keyBytes(key: Key): Uint8Array {
  return typeof key === "string" ? Buffer.from(key) : key;
}

/** Throws `invalid-argument` for an empty key. */
export function rangeFields(range: KeyRange): RangeFields {
  if (typeof range === "string" || range instanceof Uint8Array) {
    const key = keyBytes(range);
    if (key.byteLength === 0) throw new EtcdError("invalid-argument", "a key must not be empty");
    return { key, rangeEnd: NOTHING };
  }
  if ("prefix" in range) {
    const prefix = keyBytes(range.prefix);
    if (prefix.byteLength === 0) return { key: TO_THE_END, rangeEnd: TO_THE_END };
    return { key: prefix, rangeEnd: prefixEnd(prefix) };
  }
  const from = keyBytes(range.from);
  const rangeEnd = range.to === undefined ? TO_THE_END : keyBytes(range.to);
  if (rangeEnd.byteLength === 0) throw new EtcdError("invalid-argument", "a range must not end with the empty key");
  return { key: from.byteLength === 0 ? TO_THE_END : from, rangeEnd };
}

/** The first key after all keys that start with `prefix`. */
export function prefixEnd(prefix: Uint8Array): Uint8Array {
  // Not `from`, which goes through an iterator and takes ten times as long.
  const end = new Uint8Array(prefix);
  for (let index = end.length - 1; index >= 0; index--) {
    const byte = end[index] ?? 0xff;
    if (byte < 0xff) {
      end[index] = byte + 1;
      return end.subarray(0, index + 1);
    }
  }
  return TO_THE_END;
}
