import { EtcdError } from "../errors.ts";

const FIRST_BYTES = 256;

/** The bytes of one protobuf message while it is written. */
export class WireWriter {
  #bytes: Buffer = Buffer.allocUnsafe(FIRST_BYTES);
  #length = 0;

  /** What was written so far, as bytes of its own; the writer is empty again. */
  take(): Uint8Array {
    const taken = Buffer.allocUnsafe(this.#length);
    this.#bytes.copy(taken, 0, 0, this.#length);
    this.#length = 0;
    return taken;
  }

  /** Forgets what was written, where it cannot be finished. */
  clear(): void {
    this.#length = 0;
  }

  /** @param value a whole number from 0 up to 2^32 - 1 */
  uint32(value: number): void {
    this.#reserve(5);
    let rest = value;
    while (rest >= 0x80) {
      this.#bytes[this.#length++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.#bytes[this.#length++] = rest;
  }

  /** A signed number of 64 bits. Throws `invalid-argument` for one that needs more. */
  int64(value: bigint): void {
    const wide = BigInt.asUintN(64, value);
    if (BigInt.asIntN(64, wide) !== value) {
      throw new EtcdError("invalid-argument", `${value} does not fit in 64 bits`);
    }
    this.#uint64(wide);
  }

  /** A number of 64 bits without a sign. Throws `invalid-argument` for one that is negative or needs more. */
  uint64(value: bigint): void {
    if (BigInt.asUintN(64, value) !== value) {
      throw new EtcdError("invalid-argument", `${value} does not fit in 64 bits`);
    }
    this.#uint64(value);
  }

  bytes(value: Uint8Array): void {
    this.uint32(value.byteLength);
    this.#reserve(value.byteLength);
    this.#bytes.set(value, this.#length);
    this.#length += value.byteLength;
  }

  text(value: string): void {
    const length = Buffer.byteLength(value);
    this.uint32(length);
    this.#reserve(length);
    this.#length += this.#bytes.write(value, this.#length);
  }

  /** Begins what stands behind its length; give what it returns to {@link end}. */
  begin(): number {
    // Most lengths take one byte.
    this.#reserve(1);
    return ++this.#length;
  }

  end(start: number): void {
    const length = this.#length - start;
    const extra = lengthOfUint32(length) - 1;
    if (extra > 0) {
      this.#reserve(extra);
      this.#bytes.copyWithin(start + extra, start, this.#length);
    }
    this.#length = start - 1;
    this.uint32(length);
    this.#length += length;
  }

  #uint64(value: bigint): void {
    let low = Number(value & 0xffff_ffffn);
    let high = Number(value >> 32n);
    this.#reserve(10);
    while (high > 0) {
      this.#bytes[this.#length++] = (low & 0x7f) | 0x80;
      low = ((low >>> 7) | (high << 25)) >>> 0;
      high >>>= 7;
    }
    this.uint32(low);
  }

  /** Makes room for so many bytes more. */
  #reserve(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#bytes.byteLength) return;
    const larger = Buffer.allocUnsafe(Math.max(needed, this.#bytes.byteLength * 2));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }
}

/** How many bytes a number takes. */
function lengthOfUint32(value: number): number {
  let length = 1;
  for (let rest = value >>> 7; rest > 0; rest >>>= 7) length++;
  return length;
}
