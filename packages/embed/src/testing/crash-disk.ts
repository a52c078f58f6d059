import type { Random } from "@tenure/etcd/runtime";

import type { Disk, DiskFile } from "../storage/disk.ts";

/** How the machine goes down: its processes alone, or with all that no disk has yet. */
export type Crash = "kill" | "power loss";

interface Inode {
  /** What the disk has for sure. */
  kept: Buffer;
  /** What a reader sees. */
  seen: Buffer;
  /** Parts of `seen` that the disk may have or not. */
  dirty: { readonly from: number; readonly to: number }[];
}

type Names = ReadonlyMap<string, Inode>;

/**
 * A directory in memory that can go down at any of its calls, and comes up with what a disk may have by then: of what
 * was not synced any sectors, the others old or zero, and of changes of names any number, the first ones first.
 */
export class CrashDisk implements Disk {
  readonly path = "/disk";
  /** Calls until it goes down. */
  callsLeft: number = Infinity;
  /** Calls until all fail, and how; a disk that is full lets files be removed. */
  failure: { afterCalls: number; readonly code: string; readonly mayRemove?: boolean } | undefined;
  /** Resolves when it has gone down. */
  readonly down: Promise<void>;
  #goDown: () => void = () => {};
  /** The names after each change that was not synced; the first are those the disk has. */
  #names: Names[];

  constructor(names: readonly Names[] = [new Map()]) {
    this.#names = [...names];
    this.down = new Promise((resolve) => (this.#goDown = resolve));
  }

  /** The bytes of a file, to look at or to spoil. */
  bytes(name: string): Buffer {
    return this.#inode(name).seen;
  }

  /** Replaces the bytes of a file. */
  spoil(name: string, bytes: Uint8Array): void {
    const inode = this.#inode(name);
    inode.seen = Buffer.from(bytes);
    inode.kept = inode.seen;
  }

  /** A disk with the same content that is up. */
  copy(): CrashDisk {
    const names = [...this.#current].map(([name, { seen }]) => [name, inodeOf(Buffer.from(seen))] as const);
    return new CrashDisk([new Map(names)]);
  }

  /** What is there after a crash. */
  afterCrash(crash: Crash, random: Random): CrashDisk {
    // Whoever still uses this one does so no more.
    this.callsLeft = -1;
    if (crash === "kill") return new CrashDisk(this.#names);
    const names = this.#names[Math.floor(random.fraction() * this.#names.length)] ?? this.#current;
    const sectorBytes = 16 << Math.floor(random.fraction() * 6);
    const kept = [...names].map(([name, inode]) => [name, survivor(inode, sectorBytes, random)] as const);
    return new CrashDisk([new Map(kept)]);
  }

  async list(): Promise<readonly string[]> {
    await this.#call();
    return [...this.#current.keys()];
  }

  async create(name: string): Promise<DiskFile> {
    await this.#call();
    if (this.#current.has(name)) throw Object.assign(new Error("it exists"), { code: "EEXIST" });
    this.#change((names) => names.set(name, inodeOf(Buffer.alloc(0))));
    return this.#file(this.#inode(name));
  }

  async open(name: string): Promise<DiskFile> {
    await this.#call();
    return this.#file(this.#inode(name));
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#call();
    const inode = this.#inode(from);
    this.#change((names) => {
      names.delete(from);
      names.set(to, inode);
    });
  }

  async remove(name: string): Promise<void> {
    if (this.failure?.mayRemove !== true) await this.#call();
    this.#change((names) => names.delete(name));
  }

  async sync(): Promise<void> {
    await this.#call();
    this.#names = [this.#current];
  }

  get #current(): Names {
    return this.#names.at(-1) ?? new Map();
  }

  #inode(name: string): Inode {
    const inode = this.#current.get(name);
    if (inode === undefined) throw Object.assign(new Error(`no ${name}`), { code: "ENOENT" });
    return inode;
  }

  #change(change: (names: Map<string, Inode>) => void): void {
    const names = new Map(this.#current);
    change(names);
    this.#names.push(names);
  }

  #file(inode: Inode): DiskFile {
    return {
      size: async () => inode.seen.length,
      read: async (offset, length) => Buffer.from(inode.seen.subarray(offset, offset + length)),
      write: async (offset, bytes) => {
        // Whoever is killed meanwhile has written a part.
        const done = this.callsLeft === 0 ? Math.floor(bytes.byteLength / 2) : bytes.byteLength;
        this.#write(inode, offset, bytes.subarray(0, done));
        await this.#call();
      },
      truncate: async (size) => {
        await this.#call();
        inode.seen = Buffer.from(inode.seen.subarray(0, size));
        inode.dirty.push({ from: size, to: size });
      },
      sync: async () => {
        await this.#call();
        inode.kept = inode.seen;
        inode.dirty = [];
      },
      close: async () => {},
    };
  }

  #write(inode: Inode, offset: number, bytes: Uint8Array): void {
    if (this.callsLeft < 0) return;
    const to = offset + bytes.byteLength;
    const seen = Buffer.alloc(Math.max(to, inode.seen.length));
    inode.seen.copy(seen);
    seen.set(bytes, offset);
    inode.seen = seen;
    inode.dirty.push({ from: offset, to });
  }

  /** One call: it happens, or fails, or the disk is down and nothing is ever heard of it. */
  async #call(): Promise<void> {
    this.callsLeft -= 1;
    if (this.callsLeft < 0) {
      this.#goDown();
      return await new Promise<never>(() => {});
    }
    if (this.failure === undefined) return;
    this.failure.afterCalls -= 1;
    if (this.failure.afterCalls < 0) throw Object.assign(new Error("failed"), { code: this.failure.code });
  }
}

function inodeOf(bytes: Buffer): Inode {
  return { kept: bytes, seen: bytes, dirty: [] };
}

/** What a disk may have of a file that was not synced. */
function survivor({ kept, seen, dirty }: Inode, sectorBytes: number, random: Random): Inode {
  const shrank = dirty.some(({ from, to }) => from === to);
  if (dirty.length === 0 || (shrank && random.fraction() < 0.5)) return inodeOf(Buffer.from(kept));
  const size = shrank ? seen.length : kept.length + Math.floor(random.fraction() * (seen.length - kept.length + 1));
  const bytes = Buffer.alloc(size);
  kept.copy(bytes);
  for (const { from, to } of dirty) {
    for (let at = from - (from % sectorBytes); at < to; at += sectorBytes) {
      const [start, end] = [Math.max(at, from), Math.min(at + sectorBytes, to, size)];
      if (start < end && random.fraction() < 0.6) seen.copy(bytes, start, start, end);
    }
  }
  return inodeOf(bytes);
}
