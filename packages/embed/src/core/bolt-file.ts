/**
 * Writes files of bbolt, the B+tree in which etcd keeps everything: whole, at once, for somebody else to open.
 *
 * @module
 */

/** A bucket: its entries in byte order of their keys. */
export interface BoltBucket {
  readonly name: string;
  readonly entries: readonly BoltEntry[];
}

/** A key and its value. */
export interface BoltEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

const PAGE_BYTES = 4096;
/** Of a page, and of each element on it; the data of the elements follow behind them all. */
const HEADER_BYTES = 16;
const BRANCH = 0x01;
const LEAF = 0x02;
const META = 0x04;
const FREELIST = 0x10;
const BUCKET_ELEMENT = 1;
const MAGIC = 0xed0cdaed;
const VERSION = 2;
const FREELIST_PAGE = 2;
const FIRST_FREE_PAGE = 3;
/** What the checksum of a meta page covers. */
const META_BYTES = 56;
const NO_BYTES = Buffer.alloc(0);

/** A page of a tree, by its first key. */
interface Node {
  readonly key: Uint8Array;
  readonly pageId: number;
}

/** The bytes of a file with these buckets, which come in byte order of their names. */
export function boltFile(buckets: readonly BoltBucket[]): Buffer {
  const pages = new Pages();
  const roots = buckets.map(({ name, entries }) => ({ key: Buffer.from(name), value: pages.bucket(entries) }));
  const root = pages.tree(roots, BUCKET_ELEMENT);
  const end = pages.end;
  const freelist = pageOf(FREELIST_PAGE, FREELIST, []);
  return Buffer.concat([metaPage(0, root, end), metaPage(1, root, end), freelist, ...pages.all]);
}

/** The pages behind those that every file begins with. */
class Pages {
  readonly all: Buffer[] = [];
  end = FIRST_FREE_PAGE;

  /** The value that stands for a bucket: where its tree is, or the empty page itself. */
  bucket(entries: readonly BoltEntry[]): Buffer {
    const bucket = Buffer.alloc(HEADER_BYTES);
    if (entries.length === 0) {
      const page = Buffer.alloc(HEADER_BYTES);
      page.writeUInt16LE(LEAF, 8);
      return Buffer.concat([bucket, page]);
    }
    bucket.writeBigUInt64LE(BigInt(this.tree(entries, 0)), 0);
    return bucket;
  }

  /** Writes a tree and returns the page of its root. */
  tree(entries: readonly BoltEntry[], elementFlags: number): number {
    let level = chunks(entries, ({ key, value }) => key.byteLength + value.byteLength, 1).map((chunk): Node => {
      const elements = chunk.map(({ key, value }) => {
        const head = Buffer.alloc(HEADER_BYTES);
        head.writeUInt32LE(elementFlags, 0);
        head.writeUInt32LE(key.byteLength, 8);
        head.writeUInt32LE(value.byteLength, 12);
        return { head, posAt: 4, data: [key, value] };
      });
      return { key: chunk[0]?.key ?? NO_BYTES, pageId: this.#add(LEAF, elements) };
    });
    while (level.length > 1) {
      level = chunks(level, ({ key }) => key.byteLength, 2).map((chunk): Node => {
        const elements = chunk.map(({ key, pageId }) => {
          const head = Buffer.alloc(HEADER_BYTES);
          head.writeUInt32LE(key.byteLength, 4);
          head.writeBigUInt64LE(BigInt(pageId), 8);
          return { head, posAt: 0, data: [key] };
        });
        return { key: chunk[0]?.key ?? NO_BYTES, pageId: this.#add(BRANCH, elements) };
      });
    }
    return level[0]?.pageId ?? this.#add(LEAF, []);
  }

  #add(flags: number, elements: readonly Element[]): number {
    const id = this.end;
    const page = pageOf(id, flags, elements);
    this.all.push(page);
    this.end += page.byteLength / PAGE_BYTES;
    return id;
  }
}

/** An element of a page: its head, in which the distance to its data is filled in. */
interface Element {
  readonly head: Buffer;
  readonly posAt: number;
  readonly data: readonly Uint8Array[];
}

/** A page, with as many more behind it as its data need. */
function pageOf(id: number, flags: number, elements: readonly Element[]): Buffer {
  const data = elements.flatMap((element) => element.data);
  let at = HEADER_BYTES * (1 + elements.length);
  elements.forEach(({ head, posAt, data: own }, index) => {
    head.writeUInt32LE(at - HEADER_BYTES * (1 + index), posAt);
    for (const each of own) at += each.byteLength;
  });
  const size = Math.ceil(at / PAGE_BYTES) * PAGE_BYTES;
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeBigUInt64LE(BigInt(id), 0);
  header.writeUInt16LE(flags, 8);
  header.writeUInt16LE(elements.length, 10);
  header.writeUInt32LE(size / PAGE_BYTES - 1, 12);
  return Buffer.concat([header, ...elements.map(({ head }) => head), ...data], size);
}

/** Cuts elements into pages: as many as fit, and `min` at least. */
function chunks<T>(elements: readonly T[], bytesOf: (element: T) => number, min: number): readonly (readonly T[])[] {
  const cut: T[][] = [];
  let chunk: T[] = [];
  let bytes = 0;
  for (const element of elements) {
    const size = HEADER_BYTES + bytesOf(element);
    if (chunk.length >= min && HEADER_BYTES + bytes + size > PAGE_BYTES) {
      cut.push(chunk);
      chunk = [];
      bytes = 0;
    }
    chunk.push(element);
    bytes += size;
  }
  return chunk.length === 0 ? cut : [...cut, chunk];
}

/** One of the two pages that say where everything is. */
function metaPage(id: number, root: number, end: number): Buffer {
  const page = pageOf(id, META, []);
  page.writeUInt32LE(MAGIC, HEADER_BYTES);
  page.writeUInt32LE(VERSION, HEADER_BYTES + 4);
  page.writeUInt32LE(PAGE_BYTES, HEADER_BYTES + 8);
  page.writeBigUInt64LE(BigInt(root), HEADER_BYTES + 16);
  page.writeBigUInt64LE(BigInt(FREELIST_PAGE), HEADER_BYTES + 32);
  page.writeBigUInt64LE(BigInt(end), HEADER_BYTES + 40);
  // The number of the transaction that wrote it.
  page.writeBigUInt64LE(BigInt(id), HEADER_BYTES + 48);
  const checked = page.subarray(HEADER_BYTES, HEADER_BYTES + META_BYTES);
  page.writeBigUInt64LE(fnv1a(checked), HEADER_BYTES + META_BYTES);
  return page;
}

/** The hash FNV-1a of 64 bits. */
function fnv1a(bytes: Uint8Array): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash;
}
