import type { Kind } from "./codec.ts";
import { WireType } from "./reader.ts";

const NOTHING = new Uint8Array();

/** A number without a sign, of 64 bits. */
export const uint64: Kind<bigint> = {
  wireType: WireType.varint,
  zero: () => 0n,
  isZero: (value) => value === 0n,
  write: (writer, value) => writer.uint64(value),
  read: (reader) => reader.uint64(),
};

/** A number of 64 bits. */
export const int64: Kind<bigint> = {
  wireType: WireType.varint,
  zero: () => 0n,
  isZero: (value) => value === 0n,
  write: (writer, value) => writer.int64(value),
  read: (reader) => reader.int64(),
};

export const bool: Kind<boolean> = {
  wireType: WireType.varint,
  zero: () => false,
  isZero: (value) => !value,
  write: (writer, value) => writer.uint32(value ? 1 : 0),
  read: (reader) => reader.bool(),
};

export const text: Kind<string> = {
  wireType: WireType.delimited,
  zero: () => "",
  isZero: (value) => value === "",
  write: (writer, value) => writer.text(value),
  read: (reader) => reader.text(),
};

export const bytes: Kind<Uint8Array> = {
  wireType: WireType.delimited,
  zero: () => NOTHING,
  isZero: (value) => value.byteLength === 0,
  write: (writer, value) => writer.bytes(value),
  read: (reader) => reader.bytes(),
};

/** One of several named numbers, none of them negative; others than these may come. */
export function choice<T extends number>(): Kind<T> {
  return {
    wireType: WireType.varint,
    zero: () => 0 as T,
    isZero: (value) => value === 0,
    write: (writer, value) => writer.uint32(value),
    read: (reader) => reader.int32() as T,
  };
}
