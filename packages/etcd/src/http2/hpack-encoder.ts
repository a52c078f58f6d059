import { DEFAULT_TABLE_BYTES, DynamicTable, entryBytes, STATIC_TABLE, type TableEntry } from "./hpack-tables.ts";

/** A field to send: names in lower case. */
export type HeaderField = readonly [name: string, value: string];

/** Their values are new with each call: in the table they would only displace what comes again. */
const VARYING: ReadonlySet<string> = new Set(["grpc-timeout", "content-length"]);
/** Nobody on the way may put them into a table, where the sizes of later blocks would tell of them. */
const SECRET: ReadonlySet<string> = new Set(["token", "authorization", "cookie"]);

// The first bits of what stands in a block, and the bits of the same byte that a number begins in.
const INDEXED = { bits: 0x80, prefix: 0x7f };
const ADDED = { bits: 0x40, prefix: 0x3f };
const TABLE_SIZE = { bits: 0x20, prefix: 0x1f };
const NEVER_INDEXED = { bits: 0x10, prefix: 0x0f };
const NOT_INDEXED = { bits: 0x00, prefix: 0x0f };
const STRING = { bits: 0x00, prefix: 0x7f };
type Form = typeof INDEXED;

const FIRST_BYTES = 256;
/** No number here needs more. */
const MAX_NUMBER_BYTES = 6;

/** An entry of the table with its place among all that were ever added, from which its index follows. */
interface Entry extends TableEntry {
  readonly serial: number;
}

/** What a table has of one name. */
interface Named<T> {
  /** The entry to take the name from. */
  latest: T;
  readonly byValue: Map<string, T>;
}

const STATIC_NAMES = staticNames();

/**
 * Writes the header blocks of one connection (HPACK, RFC 7541), in the order in which they are sent, and none is left
 * out: each refers to what earlier ones added to the table. A field that comes again takes one byte. Strings stand as
 * they are, in latin1: what is sent once is not worth the time of a Huffman code.
 */
export class HpackEncoder {
  readonly #table = new DynamicTable<Entry>((entry) => this.#forget(entry));
  /** The entries of the table by their names. */
  readonly #names = new Map<string, Named<Entry>>();
  #lastSerial = 0;
  /** The size the table is to have, and the smallest it was to have since the last block. */
  #maxTableBytes = DEFAULT_TABLE_BYTES;
  #smallestTableBytes = DEFAULT_TABLE_BYTES;
  #bytes: Buffer = Buffer.allocUnsafe(FIRST_BYTES);
  #length = 0;

  /**
   * Keeps to the other side's SETTINGS_HEADER_TABLE_SIZE; call it before settings are acknowledged. A smaller table
   * takes effect, and is announced, with the next block.
   */
  setMaxTableBytes(bytes: number): void {
    this.#maxTableBytes = Math.min(bytes, DEFAULT_TABLE_BYTES);
    this.#smallestTableBytes = Math.min(this.#smallestTableBytes, this.#maxTableBytes);
  }

  /** Encodes one block into the buffer returned. Values must be latin1: of other characters half is lost. */
  encode(fields: readonly HeaderField[]): Uint8Array {
    this.#length = 0;
    this.#announceSize();
    for (const field of fields) this.#field(field[0], field[1]);
    const block = Buffer.allocUnsafe(this.#length);
    this.#bytes.copy(block, 0, 0, this.#length);
    return block;
  }

  /** The smallest size since the last block has evicted entries, even if the table may grow again. */
  #announceSize(): void {
    if (this.#smallestTableBytes < this.#table.maxBytes) this.#resize(this.#smallestTableBytes);
    if (this.#maxTableBytes !== this.#table.maxBytes) this.#resize(this.#maxTableBytes);
    this.#smallestTableBytes = this.#maxTableBytes;
  }

  #resize(maxBytes: number): void {
    this.#table.resize(maxBytes);
    this.#reserve(MAX_NUMBER_BYTES);
    this.#number(TABLE_SIZE, maxBytes);
  }

  #field(name: string, value: string): void {
    this.#reserve(MAX_NUMBER_BYTES);
    const known = STATIC_NAMES.get(name);
    const index = known?.byValue.get(value);
    if (index !== undefined) return this.#number(INDEXED, index);
    const added = this.#names.get(name);
    const entry = added?.byValue.get(value);
    if (entry !== undefined) return this.#number(INDEXED, this.#indexOf(entry));
    const nameIndex = known?.latest ?? (added === undefined ? 0 : this.#indexOf(added.latest));
    this.#literal(nameIndex, name, value);
  }

  #literal(nameIndex: number, name: string, value: string): void {
    const form = this.#formOf(name, value);
    this.#number(form, nameIndex);
    if (nameIndex === 0) this.#string(name);
    this.#string(value);
    if (form === ADDED) this.#add({ name, value, serial: ++this.#lastSerial });
  }

  #formOf(name: string, value: string): Form {
    if (SECRET.has(name)) return NEVER_INDEXED;
    // A field that is larger than the table would empty it.
    return VARYING.has(name) || entryBytes({ name, value }) > this.#table.maxBytes ? NOT_INDEXED : ADDED;
  }

  #add(entry: Entry): void {
    this.#table.add(entry);
    const named = this.#names.get(entry.name);
    if (named === undefined) {
      this.#names.set(entry.name, { latest: entry, byValue: new Map([[entry.value, entry]]) });
    } else {
      named.latest = entry;
      named.byValue.set(entry.value, entry);
    }
  }

  #forget({ name, value }: Entry): void {
    const named = this.#names.get(name);
    named?.byValue.delete(value);
    // The oldest entries go first, so the latest one of a name is the last to go.
    if (named?.byValue.size === 0) this.#names.delete(name);
  }

  #indexOf(entry: Entry): number {
    return STATIC_TABLE.length + 1 + this.#lastSerial - entry.serial;
  }

  #number({ bits, prefix }: Form, value: number): void {
    if (value < prefix) {
      this.#bytes[this.#length++] = bits | value;
      return;
    }
    this.#bytes[this.#length++] = bits | prefix;
    let rest = value - prefix;
    while (rest >= 0x80) {
      this.#bytes[this.#length++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.#bytes[this.#length++] = rest;
  }

  #string(text: string): void {
    this.#reserve(MAX_NUMBER_BYTES + text.length);
    this.#number(STRING, text.length);
    this.#length += this.#bytes.write(text, this.#length, "latin1");
  }

  #reserve(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#bytes.byteLength) return;
    const larger = Buffer.allocUnsafe(Math.max(needed, 2 * this.#bytes.byteLength));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }
}

function staticNames(): ReadonlyMap<string, Named<number>> {
  const names = new Map<string, Named<number>>();
  // From the end, so that a name which comes more than once is taken from its first entry.
  for (const [place, { name, value }] of [...STATIC_TABLE.entries()].toReversed()) {
    const index = place + 1;
    const named = names.get(name) ?? { latest: index, byValue: new Map<string, number>() };
    named.latest = index;
    // A secret is marked as one even where it is empty.
    if (!SECRET.has(name)) named.byValue.set(value, index);
    names.set(name, named);
  }
  return names;
}
