const FIRST_CAPACITY = 4096;
/** A buffer that grew beyond this is not kept for the next use. */
const KEPT_CAPACITY = 1024 * 1024;

/** Bytes that grow at their end. Numbers are little-endian. */
export class ByteWriter {
  #buffer = Buffer.allocUnsafe(FIRST_CAPACITY);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** What was written. It is overwritten after {@link clear}. */
  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  clear(): void {
    if (this.#buffer.length > KEPT_CAPACITY) this.#buffer = Buffer.allocUnsafe(FIRST_CAPACITY);
    this.#length = 0;
  }

  u8(value: number): void {
    const at = this.#extend(1);
    this.#buffer[at] = value;
  }

  u32(value: number): void {
    const at = this.#extend(4);
    this.#buffer.writeUInt32LE(value, at);
  }

  /** A whole number of at most 2^53. */
  u53(value: number): void {
    const at = this.#extend(8);
    this.#buffer.writeDoubleLE(value, at);
  }

  i64(value: bigint): void {
    const at = this.#extend(8);
    this.#buffer.writeBigInt64LE(value, at);
  }

  u64(value: bigint): void {
    const at = this.#extend(8);
    this.#buffer.writeBigUInt64LE(value, at);
  }

  /** Bytes with their number before them. */
  blob(value: Uint8Array): void {
    this.u32(value.byteLength);
    const at = this.#extend(value.byteLength);
    this.#buffer.set(value, at);
  }

  /** A string of characters up to 255, which are its bytes. */
  latin1(value: string): void {
    this.u32(value.length);
    const at = this.#extend(value.length);
    this.#buffer.write(value, at, value.length, "latin1");
  }

  text(value: string): void {
    this.blob(Buffer.from(value));
  }

  #extend(by: number): number {
    const at = this.#length;
    this.#length += by;
    if (this.#length > this.#buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.#length, this.#buffer.length * 2));
      this.#buffer.copy(grown, 0, 0, at);
      this.#buffer = grown;
    }
    return at;
  }
}

/** Reads what a {@link ByteWriter} wrote. Throws RangeError beyond the end. */
export class ByteReader {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#buffer = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#buffer.length;
  }

  u8(): number {
    return this.#buffer.readUInt8(this.#advance(1));
  }

  u32(): number {
    return this.#buffer.readUInt32LE(this.#advance(4));
  }

  u53(): number {
    return this.#buffer.readDoubleLE(this.#advance(8));
  }

  i64(): bigint {
    return this.#buffer.readBigInt64LE(this.#advance(8));
  }

  u64(): bigint {
    return this.#buffer.readBigUInt64LE(this.#advance(8));
  }

  /** A copy, which keeps next to nothing else in memory. */
  blob(): Uint8Array {
    const length = this.u32();
    const at = this.#advance(length);
    return Buffer.from(this.#buffer.subarray(at, at + length));
  }

  latin1(): string {
    const length = this.u32();
    const at = this.#advance(length);
    return this.#buffer.toString("latin1", at, at + length);
  }

  text(): string {
    return Buffer.from(this.blob()).toString();
  }

  /** As many as the number before them says. */
  list<T>(read: () => T): T[] {
    const items: T[] = [];
    for (let left = this.u32(); left > 0; left -= 1) items.push(read());
    return items;
  }

  #advance(by: number): number {
    const at = this.#at;
    if (at + by > this.#buffer.length) throw new RangeError("a record ends too early");
    this.#at = at + by;
    return at;
  }
}
