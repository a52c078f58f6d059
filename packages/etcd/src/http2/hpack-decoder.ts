import { ErrorCode } from "./frames.ts";
import { DEFAULT_TABLE_BYTES, DynamicTable, entryBytes, STATIC_TABLE, type TableEntry } from "./hpack-tables.ts";
import { Http2Error } from "./http2-error.ts";
import { decodeHuffman } from "./huffman.ts";

/** Header fields of one block in order of arrival; a name that comes again has its values joined by ", ". */
export type Headers = ReadonlyMap<string, string>;

/** A number never needs more bytes after its first: 35 bits are more than any length or index here. */
const MAX_MORE_BYTES = 5;
/** The smallest size since the last block and the final one: RFC 7541, section 4.2. */
const MAX_SIZE_UPDATES = 2;
const NOTHING = Buffer.alloc(0);

/**
 * Reads the header blocks of one connection (HPACK, RFC 7541), all of them and in order: each adds to the table that
 * the next ones refer to. Names and values are latin1; whether they make sense is for others to judge.
 */
export class HpackDecoder {
  readonly #maxTableBytes: number;
  readonly #table = new DynamicTable();
  /** The other side must say that it keeps to a table smaller than what it began with. */
  #mustShrink: boolean;
  #bytes: Buffer = NOTHING;
  #at = 0;

  /** @param maxTableBytes what our SETTINGS allow (4096 by default) */
  constructor(maxTableBytes: number = DEFAULT_TABLE_BYTES) {
    this.#maxTableBytes = maxTableBytes;
    this.#mustShrink = maxTableBytes < DEFAULT_TABLE_BYTES;
  }

  /**
   * Decodes one complete header block. A block may come to far more than its own size, so that `maxListBytes` is what
   * bounds the memory.
   * @param maxListBytes bound of names, values and 32 bytes for each field together (SETTINGS_MAX_HEADER_LIST_SIZE)
   * @throws Http2Error `compressionError` for a block that breaks the rules: the connection is of no use any more.
   * `enhanceYourCalm` for a list that is larger: the next block can be read all the same
   */
  decode(block: Uint8Array, maxListBytes: number): Headers {
    this.#bytes = Buffer.isBuffer(block) ? block : Buffer.from(block.buffer, block.byteOffset, block.byteLength);
    this.#at = 0;
    this.#sizeUpdates();
    const headers = new Map<string, string>();
    let listBytes = 0;
    while (this.#at < this.#bytes.byteLength) {
      const field = this.#field();
      listBytes += entryBytes(field);
      // The rest is read for the sake of the table only.
      if (listBytes > maxListBytes) continue;
      const before = headers.get(field.name);
      headers.set(field.name, before === undefined ? field.value : `${before}, ${field.value}`);
    }
    // A block is a view of what came from the socket: kept, it would keep all of that.
    this.#bytes = NOTHING;
    if (listBytes > maxListBytes) {
      throw new Http2Error(ErrorCode.enhanceYourCalm, `headers of ${listBytes} bytes, ${maxListBytes} are allowed`);
    }
    return headers;
  }

  #sizeUpdates(): void {
    for (let count = 0; ((this.#bytes[this.#at] ?? 0) & 0xe0) === 0x20; count++) {
      if (count === MAX_SIZE_UPDATES) throw malformed("too many sizes of the table");
      const bytes = this.#integer(0x1f);
      if (bytes > this.#maxTableBytes) throw malformed(`a table of ${bytes} bytes, ${this.#maxTableBytes} are allowed`);
      this.#table.resize(bytes);
      this.#mustShrink = false;
    }
    if (this.#mustShrink) throw malformed("it leaves the table larger than is allowed");
  }

  #field(): TableEntry {
    const first = this.#bytes[this.#at] ?? 0;
    if (first >= 0x80) return this.#indexed(this.#integer(0x7f));
    if (first >= 0x40) {
      const field = this.#literal(0x3f);
      this.#table.add(field);
      return field;
    }
    if (first >= 0x20) throw malformed("a size of the table after a field");
    // Not indexed or never to be indexed: the difference is for those who pass the field on.
    return this.#literal(0x0f);
  }

  #literal(prefix: number): TableEntry {
    const nameIndex = this.#integer(prefix);
    const name = nameIndex === 0 ? this.#string() : this.#indexed(nameIndex).name;
    return { name, value: this.#string() };
  }

  #indexed(index: number): TableEntry {
    const entry =
      index <= STATIC_TABLE.length ? STATIC_TABLE[index - 1] : this.#table.at(index - STATIC_TABLE.length - 1);
    if (entry === undefined) throw malformed(`no entry has index ${index}`);
    return entry;
  }

  #string(): string {
    const isHuffman = (this.#bytes[this.#at] ?? 0) >= 0x80;
    const length = this.#integer(0x7f);
    const start = this.#at;
    const end = start + length;
    if (end > this.#bytes.byteLength) throw malformed("it ends within a string");
    this.#at = end;
    return isHuffman ? decodeHuffman(this.#bytes, start, end) : this.#bytes.toString("latin1", start, end);
  }

  /** @param prefix the bits of the first byte that belong to the number */
  #integer(prefix: number): number {
    const first = this.#byte() & prefix;
    if (first < prefix) return first;
    let value = prefix;
    let weight = 1;
    for (let count = 0; count < MAX_MORE_BYTES; count++) {
      const byte = this.#byte();
      value += (byte & 0x7f) * weight;
      if (byte < 0x80) return value;
      weight *= 0x80;
    }
    throw malformed("a number is too long");
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw malformed("it ends within a field");
    return byte;
  }
}

function malformed(why: string): Http2Error {
  return new Http2Error(ErrorCode.compressionError, `a header block that breaks the rules: ${why}`);
}
