import { systemRandom } from "@tenure/etcd/runtime";

import type { JournalRecord, StoreIdentity } from "../core/journal.ts";
import type { OutputGate } from "../shell/output-gate.ts";
import { DirectoryLock } from "./directory-lock.ts";
import { NodeDisk } from "./node-disk.ts";
import { refuseForeign } from "./recovery.ts";
import { type Kept, Storage } from "./storage.ts";
import type { StorageError } from "./storage-error.ts";

/** How a {@link DataDir} is used. */
export interface DataDirOptions {
  /** Made if there is none. */
  readonly path: string;
  /** Whether what is acknowledged is on the disk, and not only in the system's memory. */
  readonly fsync: boolean;
  readonly onNotice: (line: string) => void;
  /** Hears once that nothing can be kept any more. */
  readonly onFailure: (error: StorageError) => void;
}

/** A directory in which a server keeps its state, and which nobody else uses meanwhile. */
export class DataDir {
  readonly #lock: DirectoryLock;
  readonly #storage: Storage;

  private constructor(lock: DirectoryLock, storage: Storage) {
    this.#lock = lock;
    this.#storage = storage;
  }

  /** Takes a directory. Throws StorageError when it cannot be used, is in use, or damaged. */
  static async open({ path, fsync, onNotice, onFailure }: DataDirOptions): Promise<DataDir> {
    const disk = await NodeDisk.open(path);
    // Before the lock leaves anything in somebody else's directory.
    await refuseForeign(disk);
    const lock = await DirectoryLock.take(disk.path, systemRandom);
    try {
      return new DataDir(lock, await Storage.open({ disk, random: systemRandom, fsync, onNotice, onFailure }));
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /** Which store it holds; undefined for a new one. */
  get identity(): StoreIdentity | undefined {
    return this.#storage.identity;
  }

  /** Where answers wait. Not before {@link start}. */
  get gate(): OutputGate {
    return this.#storage.gate;
  }

  /** Brings a server to the state that was kept. Throws StorageError when that is damaged, or cannot be written. */
  async start(server: Kept): Promise<void> {
    await this.#storage.start(server);
  }

  /** Takes a change. */
  append(record: JournalRecord): void {
    this.#storage.append(record);
  }

  /** Resolves when everything is kept that was taken so far, or cannot be. */
  async flush(): Promise<void> {
    await this.#storage.flush();
  }

  /** Gives the directory back, with all that was taken. */
  async close(): Promise<void> {
    try {
      await this.#storage.close();
    } finally {
      await this.#lock.release();
    }
  }
}
