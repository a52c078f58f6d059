import { join } from "node:path";

import type { Random } from "@tenure/etcd/runtime";

import type { Checkpoint, JournalRecord, StoreIdentity } from "../core/journal.ts";
import type { OutputGate } from "../shell/output-gate.ts";
import { ByteWriter } from "./bytes.ts";
import { CommitLog } from "./commit-log.ts";
import type { Disk } from "./disk.ts";
import { type FileHeader, type FileKind } from "./file-header.ts";
import { fileName, UNFINISHED } from "./file-names.ts";
import { FrameFile } from "./frame-file.ts";
import { encodeRecord } from "./record-codec.ts";
import { findFiles, type Recovered, recover, removeLeftovers, type Restore, type StoreFiles } from "./recovery.ts";
import { readIdentity } from "./recovery.ts";
import { reasonOf, StorageError } from "./storage-error.ts";

/** How a {@link Storage} keeps. */
export interface StorageOptions {
  readonly disk: Disk;
  readonly random: Random;
  /** A log of fewer bytes is not worth a checkpoint. Default: 4 MiB. */
  readonly smallLogBytes?: number;
  /** Whether what is acknowledged is on the disk, and not only in the system's memory. */
  readonly fsync: boolean;
  /** Hears of what is worth a line: what was cut off, what could not be done but does no harm. */
  readonly onNotice: (line: string) => void;
  /** Hears once that nothing can be kept any more. The gate stays closed from then on. */
  readonly onFailure: (error: StorageError) => void;
}

/** The server whose state is kept. */
export interface Kept {
  restore(record: JournalRecord): void;
  checkpoint(): Checkpoint;
  /** Roughly how many bytes its keys and values take. */
  readonly bytes: number;
}

const SMALL_LOG_BYTES = 4 * 1024 * 1024;
/** Bytes of a checkpoint written at once; in between the server answers. */
const PIECE_BYTES = 256 * 1024;
const END_OF_FILE = new Uint8Array(0);

/**
 * What a server keeps in a directory: a checkpoint, which is its state at one time, and a log of the changes since. A
 * checkpoint is made anew when the log has become larger than the last one, and takes its place; a compaction so gives
 * space back.
 */
export class Storage {
  /** Which store is in the directory; undefined when there is none yet. */
  readonly identity: StoreIdentity | undefined;
  readonly #options: StorageOptions;
  readonly #files: StoreFiles | undefined;
  #log: CommitLog | undefined;
  #generation = 1;
  #checkpointBytes = 0;
  #isCompacted = false;
  #checkpointing: Promise<void> | undefined;
  /** After one that failed, the log grows by as much again before the next. */
  #retryAtBytes = 0;

  private constructor(options: StorageOptions, files?: StoreFiles, identity?: StoreIdentity) {
    this.#options = options;
    this.#files = files;
    this.identity = identity;
  }

  /** Looks what a directory holds. Throws StorageError for what is no store, or a damaged one. */
  static async open(options: StorageOptions): Promise<Storage> {
    const files = await findFiles(options.disk);
    if (files === undefined) return new Storage(options);
    return new Storage(options, files, await readIdentity(options.disk, files));
  }

  /**
   * Brings a server to the state that was kept, or keeps its own if there was none. From here on it can change.
   *
   * @throws StorageError when something kept is damaged, or nothing can be written
   */
  async start(server: Kept): Promise<void> {
    const { disk, onFailure } = this.#options;
    try {
      const { log, checkpointBytes } = await this.#begin(server);
      const { generation, identity } = log.header;
      this.#generation = generation;
      this.#checkpointBytes = checkpointBytes;
      this.#log = new CommitLog(log, {
        fsync: this.#options.fsync,
        onFailure: (error) => onFailure(failed(disk, error)),
        onWritten: () => this.#considerCheckpoint(server, identity),
      });
    } catch (error) {
      if (error instanceof StorageError) throw error;
      throw failed(disk, error);
    }
  }

  /** Takes a change. */
  append(record: JournalRecord): void {
    if (record.kind === "compact") this.#isCompacted = true;
    this.#started.append(record);
  }

  /** Where answers wait. */
  get gate(): OutputGate {
    return this.#started;
  }

  /** Resolves when everything is kept that was taken so far, or cannot be. */
  async flush(): Promise<void> {
    await this.#log?.flush();
  }

  /** Writes what is left, ends a checkpoint under way, and closes the log. Nothing is written afterwards. */
  async close(): Promise<void> {
    await this.flush();
    // What was written may have started one, and one may follow another, for a compaction meanwhile.
    while (this.#checkpointing !== undefined) await this.#checkpointing;
    await this.#log?.close();
  }

  get #started(): CommitLog {
    if (this.#log === undefined) throw new TypeError("the storage has not started");
    return this.#log;
  }

  async #begin(server: Kept): Promise<Pick<Recovered, "log" | "checkpointBytes">> {
    const { disk, onNotice } = this.#options;
    if (this.#files === undefined) return await this.#found(server);
    const restore: Restore = (record) => server.restore(record);
    const { log, checkpointBytes, tornBytes } = await recover(disk, this.#files, restore);
    if (tornBytes > 0) {
      const path = join(disk.path, fileName("log", this.#files.lastLog));
      onNotice(`${path}: cut off ${tornBytes} bytes of a write that a crash interrupted and nobody was told of`);
    }
    await removeLeftovers(disk, this.#files.checkpoint);
    return { log, checkpointBytes };
  }

  /** Makes a store in a directory that has none. Before its checkpoint is there, there is nothing. */
  async #found(server: Kept): Promise<Pick<Recovered, "log" | "checkpointBytes">> {
    const { disk } = this.#options;
    await removeLeftovers(disk, 1);
    await disk.remove(fileName("log", 1));
    const checkpoint = server.checkpoint();
    const log = await this.#publish(await this.#make("log", 1, checkpoint.identity, async () => {}));
    return { log, checkpointBytes: await this.#writeCheckpoint(1, checkpoint) };
  }

  #considerCheckpoint(server: Kept, identity: StoreIdentity): void {
    const logBytes = this.#started.size;
    if (this.#checkpointing !== undefined || logBytes < this.#retryAtBytes) return;
    const { smallLogBytes = SMALL_LOG_BYTES } = this.#options;
    const isLarge = logBytes > Math.max(smallLogBytes, this.#checkpointBytes);
    const givesBack = this.#isCompacted && logBytes + this.#checkpointBytes > smallLogBytes + 2 * server.bytes;
    this.#isCompacted = false;
    if (!isLarge && !givesBack) return;
    this.#checkpointing = this.#checkpoint(server, identity).finally(() => {
      this.#checkpointing = undefined;
      if (this.#isCompacted) this.#considerCheckpoint(server, identity);
    });
  }

  /** Starts a new log, and writes the state at its beginning. The old files go only when that is on the disk. */
  async #checkpoint(server: Kept, identity: StoreIdentity): Promise<void> {
    const { disk, onNotice } = this.#options;
    const generation = this.#generation + 1;
    const logBytes = this.#started.size;
    try {
      // Before the old log is ended: if it cannot be made, for want of a file descriptor say, that one goes on.
      const log = await this.#make("log", generation, identity, async () => {});
      const checkpoint = await this.#started.rotate(
        () => server.checkpoint(),
        () => this.#publish(log),
      );
      if (checkpoint === undefined) {
        await this.#discard(log);
        return;
      }
      this.#generation = generation;
      this.#checkpointBytes = await this.#writeCheckpoint(generation, checkpoint);
      this.#retryAtBytes = 0;
      await removeLeftovers(disk, generation);
    } catch (error) {
      this.#retryAtBytes = this.#generation === generation ? logBytes : 2 * logBytes;
      onNotice(`${disk.path}: no checkpoint could be written, the log goes on growing: ${reasonOf(error)}`);
    }
  }

  async #writeCheckpoint(generation: number, { identity, records }: Checkpoint): Promise<number> {
    const made = await this.#make("checkpoint", generation, identity, async (unfinished) => {
      const piece = new ByteWriter();
      for (const record of records) {
        encodeRecord(piece, record);
        if (piece.length < PIECE_BYTES) continue;
        await unfinished.append(piece.bytes);
        piece.clear();
      }
      await unfinished.append(piece.bytes);
      await unfinished.append(END_OF_FILE);
    });
    const file = await this.#publish(made);
    await file.close();
    return file.size;
  }

  /** Makes a file with all that belongs in it, but not its name. */
  async #make(
    kind: FileKind,
    generation: number,
    identity: StoreIdentity,
    fill: (file: FrameFile) => Promise<void>,
  ): Promise<FrameFile> {
    const { disk, random } = this.#options;
    const name = `${fileName(kind, generation)}${UNFINISHED}`;
    await disk.remove(name);
    const header: FileHeader = { kind, generation, salt: Number(random.bits(32)), identity };
    const file = await FrameFile.create(disk, name, header);
    try {
      await fill(file);
      await file.sync();
      return file;
    } catch (error) {
      await this.#discard(file);
      throw error;
    }
  }

  /** Gives a file its name, all of it being on the disk. */
  async #publish(file: FrameFile): Promise<FrameFile> {
    const { disk } = this.#options;
    const name = fileName(file.header.kind, file.header.generation);
    await disk.rename(`${name}${UNFINISHED}`, name);
    await disk.sync();
    return file;
  }

  /** Gives the space of a file back that was not finished: the log may need it. */
  async #discard(file: FrameFile): Promise<void> {
    try {
      await file.close();
      await this.#options.disk.remove(`${fileName(file.header.kind, file.header.generation)}${UNFINISHED}`);
    } catch {
      // The next start removes it, and the error that counts is the first.
    }
  }
}

function failed(disk: Disk, error: unknown): StorageError {
  const what = `${disk.path} cannot be written: ${reasonOf(error)}`;
  return new StorageError("DATA_DIR_FAILED", `${what}; what was not acknowledged may be lost`, { cause: error });
}
