import { EtcdError } from "../errors.ts";

/** How a value stands on the wire, as the last three bits of its tag say. */
export const WireType = { varint: 0, fixed64: 1, delimited: 2, fixed32: 5 } as const;

const MAX_SAFE_HIGH = 2 ** 21;

/** Reads the bytes of one protobuf message. What it throws of them that make no message is of code `internal`. */
export class WireReader {
  readonly #bytes: Buffer;
  #at = 0;
  /** Where the message ends that is being read, which may stand within another one. */
  #end: number;
  /** The two halves of the last number. */
  #low = 0;
  #high = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#end = bytes.byteLength;
  }

  /** Whether the message that is being read is at its end. */
  get done(): boolean {
    return this.#at >= this.#end;
  }

  uint32(): number {
    this.#varint();
    return this.#low >>> 0;
  }

  int32(): number {
    this.#varint();
    return this.#low;
  }

  bool(): boolean {
    this.#varint();
    return (this.#low | this.#high) !== 0;
  }

  uint64(): bigint {
    this.#varint();
    const [low, high] = [this.#low >>> 0, this.#high >>> 0];
    // Most numbers are small enough for arithmetic that is faster.
    return high < MAX_SAFE_HIGH ? BigInt(high * 2 ** 32 + low) : large(low, high);
  }

  int64(): bigint {
    return BigInt.asIntN(64, this.uint64());
  }

  /** A view of the bytes, not a copy. */
  bytes(): Uint8Array {
    const length = this.#length();
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  text(): string {
    const length = this.#length();
    this.#at += length;
    return this.#bytes.toString("utf8", this.#at - length, this.#at);
  }

  /** Goes into a message within this one; give what it returns to {@link leave}. */
  enter(): number {
    const length = this.#length();
    const outer = this.#end;
    this.#end = this.#at + length;
    return outer;
  }

  leave(outer: number): void {
    this.#end = outer;
  }

  /** Passes over a value that nobody knows. */
  skip(wireType: number): void {
    if (wireType === WireType.varint) this.#varint();
    else if (wireType === WireType.fixed64) this.#pass(8);
    else if (wireType === WireType.fixed32) this.#pass(4);
    else if (wireType === WireType.delimited) this.#pass(this.#length());
    else throw malformed(`unknown wire type ${wireType}`);
  }

  #pass(count: number): void {
    if (this.#end - this.#at < count) throw malformed("it ends within a value");
    this.#at += count;
  }

  /** The length that stands before a value, which must be there as a whole. */
  #length(): number {
    const length = this.uint32();
    if (this.#end - this.#at < length) throw malformed("it ends within a value");
    return length;
  }

  #varint(): void {
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.#at >= this.#end) throw malformed("it ends within a number");
      const byte = this.#bytes[this.#at++] ?? 0;
      const bits = byte & 0x7f;
      if (shift < 32) low |= bits << shift;
      if (shift === 28) high = bits >>> 4;
      else if (shift > 28) high |= bits << (shift - 32);
      if (byte < 0x80) {
        this.#low = low;
        this.#high = high;
        return;
      }
    }
    throw malformed("a number is too long");
  }
}

/** Where {@link large} keeps what it made last: a number's place follows from its low bits. */
const KEPT = 16;
const keptLow = new Uint32Array(KEPT);
const keptHigh = new Uint32Array(KEPT);
const kept: bigint[] = Array.from({ length: KEPT }, () => 0n);

/**
 * A number of more than 53 bits: the id of a cluster, a member or a lease. The same few come in every message, and each
 * is made of five others.
 */
function large(low: number, high: number): bigint {
  const at = low % KEPT;
  if (keptLow[at] !== low || keptHigh[at] !== high) {
    keptLow[at] = low;
    keptHigh[at] = high;
    kept[at] = (BigInt(high) << 32n) | BigInt(low);
  }
  return kept[at] ?? 0n;
}

function malformed(why: string): EtcdError {
  return new EtcdError("internal", `the message cannot be read: ${why}`);
}
