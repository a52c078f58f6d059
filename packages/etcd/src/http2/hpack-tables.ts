/** One field of a table. */
export interface TableEntry {
  readonly name: string;
  readonly value: string;
}

/** The size of a table when a connection begins, and where neither side says otherwise. */
export const DEFAULT_TABLE_BYTES = 4096;

/** What an entry counts beside its name and its value: RFC 7541, section 4.1. */
const ENTRY_OVERHEAD_BYTES = 32;

/** The size of a field as tables and the limits of header lists count it. Its characters are bytes: all are latin1. */
export function entryBytes({ name, value }: TableEntry): number {
  return name.length + value.length + ENTRY_OVERHEAD_BYTES;
}

/** The entries that both sides of a connection have learned, the newest first. Old ones make room for new ones. */
export class DynamicTable<E extends TableEntry> {
  readonly #onEvicted: (entry: E) => void;
  /** The oldest first. */
  readonly #entries: E[] = [];
  #bytes = 0;
  #maxBytes = DEFAULT_TABLE_BYTES;

  /** @param onEvicted is told of each entry that goes */
  constructor(onEvicted: (entry: E) => void = () => {}) {
    this.#onEvicted = onEvicted;
  }

  get maxBytes(): number {
    return this.#maxBytes;
  }

  /** @param place how many entries are newer; undefined where there is none so old */
  at(place: number): E | undefined {
    return this.#entries[this.#entries.length - 1 - place];
  }

  /** One that is larger than the table leaves the table empty. */
  add(entry: E): void {
    const bytes = entryBytes(entry);
    this.#shrinkTo(this.#maxBytes - bytes);
    if (bytes > this.#maxBytes) return;
    this.#entries.push(entry);
    this.#bytes += bytes;
  }

  resize(maxBytes: number): void {
    this.#maxBytes = maxBytes;
    this.#shrinkTo(maxBytes);
  }

  #shrinkTo(bytes: number): void {
    while (this.#bytes > bytes) {
      const oldest = this.#entries.shift();
      if (oldest === undefined) return;
      this.#bytes -= entryBytes(oldest);
      this.#onEvicted(oldest);
    }
  }
}

/** The entries that all connections have, in the order of RFC 7541, appendix A: the first has index 1. */
export const STATIC_TABLE: readonly TableEntry[] = [
  { name: ":authority", value: "" },
  { name: ":method", value: "GET" },
  { name: ":method", value: "POST" },
  { name: ":path", value: "/" },
  { name: ":path", value: "/index.html" },
  { name: ":scheme", value: "http" },
  { name: ":scheme", value: "https" },
  { name: ":status", value: "200" },
  { name: ":status", value: "204" },
  { name: ":status", value: "206" },
  { name: ":status", value: "304" },
  { name: ":status", value: "400" },
  { name: ":status", value: "404" },
  { name: ":status", value: "500" },
  { name: "accept-charset", value: "" },
  { name: "accept-encoding", value: "gzip, deflate" },
  { name: "accept-language", value: "" },
  { name: "accept-ranges", value: "" },
  { name: "accept", value: "" },
  { name: "access-control-allow-origin", value: "" },
  { name: "age", value: "" },
  { name: "allow", value: "" },
  { name: "authorization", value: "" },
  { name: "cache-control", value: "" },
  { name: "content-disposition", value: "" },
  { name: "content-encoding", value: "" },
  { name: "content-language", value: "" },
  { name: "content-length", value: "" },
  { name: "content-location", value: "" },
  { name: "content-range", value: "" },
  { name: "content-type", value: "" },
  { name: "cookie", value: "" },
  { name: "date", value: "" },
  { name: "etag", value: "" },
  { name: "expect", value: "" },
  { name: "expires", value: "" },
  { name: "from", value: "" },
  { name: "host", value: "" },
  { name: "if-match", value: "" },
  { name: "if-modified-since", value: "" },
  { name: "if-none-match", value: "" },
  { name: "if-range", value: "" },
  { name: "if-unmodified-since", value: "" },
  { name: "last-modified", value: "" },
  { name: "link", value: "" },
  { name: "location", value: "" },
  { name: "max-forwards", value: "" },
  { name: "proxy-authenticate", value: "" },
  { name: "proxy-authorization", value: "" },
  { name: "range", value: "" },
  { name: "referer", value: "" },
  { name: "refresh", value: "" },
  { name: "retry-after", value: "" },
  { name: "server", value: "" },
  { name: "set-cookie", value: "" },
  { name: "strict-transport-security", value: "" },
  { name: "transfer-encoding", value: "" },
  { name: "user-agent", value: "" },
  { name: "vary", value: "" },
  { name: "via", value: "" },
  { name: "www-authenticate", value: "" },
];

/**
 * The lengths in bits of the codes of the 256 bytes and, last, of the end of a string, from RFC 7541, appendix B. They
 * say it all: shorter codes are smaller numbers, and among codes of one length the order is that of the bytes.
 */
export const HUFFMAN_CODE_BITS: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
  28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6,
  5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23,
  22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22,
  23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26,
  20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27,
  27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27,
  27, 27, 27, 26, 30,
];
