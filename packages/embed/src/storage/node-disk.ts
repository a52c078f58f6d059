import { constants } from "node:fs";
import { chmod, type FileHandle, mkdir, open, readdir, realpath, rename, rm, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";

import type { Disk, DiskFile } from "./disk.ts";
import { reasonOf, StorageError } from "./storage-error.ts";

/** For the owner alone: passwords, hashed as they are, and all keys are in there. */
const DIRECTORY_MODE = 0o700;
const FILE_MODE = 0o600;
/** Others may write. */
const FOREIGN_WRITE = 0o022;

/** Which directory it is, wherever it is moved to. */
interface Place {
  readonly dev: number;
  readonly ino: number;
}

/** A directory of this machine. */
export class NodeDisk implements Disk {
  readonly path: string;
  readonly #place: Place;

  private constructor(path: string, place: Place) {
    this.path = path;
    this.#place = place;
  }

  /**
   * Opens a directory, and makes it if there is none.
   *
   * @throws StorageError when it cannot be made or used, or others may write in it
   */
  static async open(path: string): Promise<NodeDisk> {
    try {
      const made = await mkdir(path, { recursive: true, mode: DIRECTORY_MODE });
      // The mode that was asked for is one that the process's mask has taken from; here it is what was meant.
      if (made !== undefined) await chmod(path, DIRECTORY_MODE);
      const real = await realpath(path);
      if (made !== undefined) await syncUpTo(real, dirname(resolve(made)));
      return new NodeDisk(real, await check(real));
    } catch (error) {
      if (error instanceof StorageError) throw error;
      throw unusable(path, error);
    }
  }

  async list(): Promise<readonly string[]> {
    return await readdir(this.path);
  }

  async create(name: string): Promise<DiskFile> {
    await this.#requirePlace();
    return this.#open(name, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL);
  }

  async open(name: string): Promise<DiskFile> {
    return this.#open(name, constants.O_RDWR);
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#requirePlace();
    await rename(join(this.path, from), join(this.path, to));
  }

  async remove(name: string): Promise<void> {
    await this.#requirePlace();
    await rm(join(this.path, name), { force: true });
  }

  async sync(): Promise<void> {
    await this.#requirePlace();
    await syncDirectory(this.path);
  }

  /** Throws when the directory was moved: what is in its place may be another store. */
  async #requirePlace(): Promise<void> {
    const { dev, ino } = await stat(this.path);
    if (dev !== this.#place.dev || ino !== this.#place.ino) throw new Error("another directory took its place");
  }

  /** A link in place of a file leads elsewhere: nobody puts one there for a good reason. */
  async #open(name: string, flags: number): Promise<DiskFile> {
    return new NodeFile(await open(join(this.path, name), flags | constants.O_NOFOLLOW, FILE_MODE));
  }
}

class NodeFile implements DiskFile {
  readonly #handle: FileHandle;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  async size(): Promise<number> {
    return (await this.#handle.stat()).size;
  }

  async read(offset: number, length: number): Promise<Buffer> {
    const bytes = Buffer.alloc(length);
    for (let done = 0; done < length;) {
      const { bytesRead } = await this.#handle.read(bytes, done, length - done, offset + done);
      if (bytesRead === 0) return bytes.subarray(0, done);
      done += bytesRead;
    }
    return bytes;
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.byteLength;) {
      const { bytesWritten } = await this.#handle.write(bytes, done, bytes.byteLength - done, offset + done);
      if (bytesWritten === 0) throw Object.assign(new Error("nothing was written"), { code: "ENOSPC" });
      done += bytesWritten;
    }
  }

  async truncate(size: number): Promise<void> {
    await this.#handle.truncate(size);
  }

  async sync(): Promise<void> {
    await this.#handle.datasync();
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

async function check(path: string): Promise<Place> {
  const { mode, uid, dev, ino } = await stat(path);
  const own = process.geteuid?.();
  if (own !== undefined && uid !== own) {
    throw new StorageError("DATA_DIR_UNUSABLE", `${path} belongs to another user (uid ${uid}, this is ${own})`);
  }
  if (process.platform !== "win32" && (mode & FOREIGN_WRITE) !== 0) {
    throw new StorageError("DATA_DIR_UNUSABLE", `${path} may be written by other users: chmod 700 ${path}`);
  }
  return { dev, ino };
}

/** Makes sure that a directory and those above it, up to one that was there, stay. */
async function syncUpTo(path: string, top: string): Promise<void> {
  const last = await realpath(top);
  for (let at = path; ; at = dirname(at)) {
    await syncDirectory(at);
    if (at === last || at === dirname(at)) return;
  }
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function unusable(path: string, error: unknown): StorageError {
  const reason = reasonOf(error);
  const said = reason === "EEXIST" || reason === "ENOTDIR" ? "it is not a directory" : reason;
  return new StorageError("DATA_DIR_UNUSABLE", `${path} cannot be used: ${said}`, { cause: error });
}
