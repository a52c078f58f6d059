/** One byte of flags and four bytes of length stand before each gRPC message. */
const PREFIX_BYTES = 5;
const FIRST_BYTES = 64 * 1024;
const MAX_NUMBER_BYTES = 10;

/** Bytes that a field takes before its value; all fields written here have a number below 16. */
const TAG_BYTES = 1;

/**
 * Writes one message after the other, each as a gRPC frame. Whoever writes a message within a message gives its size
 * beforehand, so that nothing is moved.
 */
export class FrameWriter {
  #bytes: Buffer = Buffer.allocUnsafe(FIRST_BYTES);
  #at = PREFIX_BYTES;

  /** Starts a message, whatever was written before. */
  begin(): void {
    this.#at = PREFIX_BYTES;
  }

  /** The message as a frame with bytes of its own. */
  take(): Buffer {
    this.#bytes.writeUInt8(0, 0);
    this.#bytes.writeUInt32BE(this.#at - PREFIX_BYTES, 1);
    if (this.#at > FIRST_BYTES) return this.#takeAll();
    const taken = Buffer.allocUnsafe(this.#at);
    this.#bytes.copy(taken, 0, 0, this.#at);
    return taken;
  }

  /** What is large is handed over as it is, and not kept for the messages to come. */
  #takeAll(): Buffer {
    const taken = this.#bytes.subarray(0, this.#at);
    this.#bytes = Buffer.allocUnsafe(FIRST_BYTES);
    return taken;
  }

  /** How far it is. */
  get position(): number {
    return this.#at;
  }

  /** A copy of what was written since a position. */
  since(position: number): Buffer {
    return Buffer.from(this.#bytes.subarray(position, this.#at));
  }

  /** A field of number 1 to 15 with a whole number; nothing for 0. */
  number(field: number, value: bigint | number): void {
    if (value === 0n || value === 0) return;
    this.#reserve(TAG_BYTES + MAX_NUMBER_BYTES);
    this.#bytes[this.#at++] = field << 3;
    this.#varint(value);
  }

  /** The same with true; nothing for false. */
  bool(field: number, value: boolean): void {
    if (value) this.number(field, 1);
  }

  /** The same with bytes; nothing when there are none. */
  data(field: number, value: Uint8Array): void {
    if (value.byteLength === 0) return;
    this.message(field, value.byteLength);
    this.raw(value);
  }

  /** The same with a text. */
  text(field: number, value: string): void {
    if (value !== "") this.data(field, Buffer.from(value));
  }

  /** The tag and the size of a message within this one. It must follow. */
  message(field: number, bytes: number): void {
    this.#reserve(TAG_BYTES + MAX_NUMBER_BYTES + bytes);
    this.#bytes[this.#at++] = (field << 3) | 2;
    this.#varint(bytes);
  }

  /** Bytes as they are. */
  raw(value: Uint8Array): void {
    this.#reserve(value.byteLength);
    this.#bytes.set(value, this.#at);
    this.#at += value.byteLength;
  }

  #varint(value: bigint | number): void {
    const small = Number(value);
    if (small < 0 || small > Number.MAX_SAFE_INTEGER) {
      this.#longVarint(BigInt.asUintN(64, BigInt(value)));
      return;
    }
    let rest = small;
    for (; rest > 0x7fff_ffff; rest = Math.floor(rest / 128)) this.#bytes[this.#at++] = (rest % 128) | 0x80;
    for (; rest > 0x7f; rest >>>= 7) this.#bytes[this.#at++] = (rest & 0x7f) | 0x80;
    this.#bytes[this.#at++] = rest;
  }

  #longVarint(value: bigint): void {
    let rest = value;
    for (; rest > 0x7fn; rest >>= 7n) this.#bytes[this.#at++] = Number(rest & 0x7fn) | 0x80;
    this.#bytes[this.#at++] = Number(rest);
  }

  /** Makes room for so many bytes more. */
  #reserve(count: number): void {
    const needed = this.#at + count;
    if (needed <= this.#bytes.byteLength) return;
    const larger = Buffer.allocUnsafe(Math.max(needed, this.#bytes.byteLength * 2));
    this.#bytes.copy(larger, 0, 0, this.#at);
    this.#bytes = larger;
  }
}

/** Bytes of a field with a whole number. */
export function numberBytes(value: bigint): number {
  return value === 0n ? 0 : TAG_BYTES + varintBytes(value);
}

/** Bytes of a field with so many bytes, which is left out when there are none. */
export function dataBytes(length: number): number {
  return length === 0 ? 0 : messageBytes(length);
}

/** Bytes of a field with a message of so many bytes. */
export function messageBytes(length: number): number {
  return TAG_BYTES + varintBytes(length) + length;
}

function varintBytes(value: bigint | number): number {
  let rest = Number(value);
  // A negative number has the bits of a very large one.
  if (rest < 0) return MAX_NUMBER_BYTES;
  if (rest > Number.MAX_SAFE_INTEGER) return Math.ceil(BigInt(value).toString(2).length / 7);
  let bytes = 1;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes += 1;
  return bytes;
}
