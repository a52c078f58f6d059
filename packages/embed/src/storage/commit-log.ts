import type { JournalRecord } from "../core/journal.ts";
import type { OutputGate } from "../shell/output-gate.ts";
import { ByteWriter } from "./bytes.ts";
import type { FrameFile } from "./frame-file.ts";
import { encodeRecord } from "./record-codec.ts";

/** An answer that waits for the changes before it. */
interface Held {
  readonly position: number;
  readonly release: () => void;
}

/** Starts the end of one log, and returns what begins the next once the old one is complete. */
type Rotation = () => () => Promise<FrameFile>;

/** How a {@link CommitLog} writes. */
export interface CommitLogOptions {
  /** Whether each write waits until the disk has it. */
  readonly fsync: boolean;
  /** Hears once that a write failed. Nothing held is released any more. */
  readonly onFailure: (error: unknown) => void;
  /** Hears after each write. */
  readonly onWritten: () => void;
}

const END_OF_FILE = new Uint8Array(0);

/**
 * The changes of a server on their way to the disk, and the gate at which answers wait for them.
 *
 * What happens in one turn of the event loop, or while a write is under way, is one write: a frame, of which a crash
 * leaves all or nothing. Only one is under way at a time, so that nothing that stands behind a broken frame can have
 * been acknowledged after it.
 */
export class CommitLog implements OutputGate {
  readonly #options: CommitLogOptions;
  #file: FrameFile;
  #filling = new ByteWriter();
  #writing = new ByteWriter();
  /** Changes taken so far, and those of them that stay. */
  #taken = 0;
  #kept = 0;
  /** In order of position. */
  #held: Held[] = [];
  #rotation: Rotation | undefined;
  #running: Promise<void> | undefined;
  #state: "open" | "closed" | "failed" = "open";
  readonly #failed: Promise<void>;
  #fail: () => void = () => {};

  constructor(file: FrameFile, options: CommitLogOptions) {
    this.#file = file;
    this.#options = options;
    this.#failed = new Promise((resolve) => (this.#fail = resolve));
  }

  /** Takes a change. */
  append(record: JournalRecord): void {
    if (this.#state !== "open") return;
    encodeRecord(this.#filling, record);
    this.#taken += 1;
    this.#run();
  }

  /** Bytes of the log that is written to. */
  get size(): number {
    return this.#file.size;
  }

  get isOpen(): boolean {
    return this.#kept === this.#taken && this.#held.length === 0 && this.#state !== "failed";
  }

  hold(release: () => void): void {
    if (this.#state === "failed") return;
    this.#held.push({ position: this.#taken, release });
    this.#run();
  }

  /**
   * Goes on in a new log when the changes so far are kept. One rotation at a time.
   *
   * @param atBoundary called between the last change of the old log and the first of the new one
   * @param next makes the new log
   * @returns what `atBoundary` returned; undefined when a failure or the end came before that
   */
  async rotate<T>(atBoundary: () => T, next: (state: T) => Promise<FrameFile>): Promise<T | undefined> {
    // After a failure nothing may be written: what was taken meanwhile would stand in the place of what failed.
    if (this.#state !== "open") return undefined;
    const rotated = new Promise<T>((resolve) => {
      this.#rotation = () => {
        const state = atBoundary();
        return async () => {
          const file = await next(state);
          resolve(state);
          return file;
        };
      };
    });
    this.#run();
    return await Promise.race([rotated, this.#failed.then(() => undefined)]);
  }

  /** Resolves when everything is kept that was taken before, or cannot be. */
  async flush(): Promise<void> {
    if (this.isOpen) return;
    await Promise.race([this.#failed, new Promise<void>((resolve) => this.hold(resolve))]);
  }

  /** Writes what is left, and that this is the end. Nothing is taken any more. */
  async close(): Promise<void> {
    if (this.#state === "closed") return;
    if (this.#state === "open") {
      this.#state = "closed";
      await this.#running;
    }
    // That it ended says nothing more than what is kept already, on a full disk say.
    if (this.#isWhole()) await this.#endFile().catch(() => {});
    await this.#file.close();
  }

  #isWhole(): boolean {
    return this.#state !== "failed";
  }

  #run(): void {
    this.#running ??= this.#work().finally(() => {
      this.#running = undefined;
      // What came between the last look and here has found it running.
      if (this.#state !== "failed" && this.#hasWork()) this.#run();
    });
  }

  async #work(): Promise<void> {
    try {
      // What else arrives in this turn of the event loop is of the same write.
      await new Promise((resolve) => setImmediate(resolve));
      while (this.#hasWork()) await this.#step();
    } catch (error) {
      this.#state = "failed";
      this.#held = [];
      this.#fail();
      this.#options.onFailure(error);
    }
  }

  #hasWork(): boolean {
    return this.#kept < this.#taken || this.#held.length > 0 || this.#rotation !== undefined;
  }

  async #step(): Promise<void> {
    const rotation = this.#rotation;
    this.#rotation = undefined;
    const position = this.#taken;
    [this.#filling, this.#writing] = [this.#writing, this.#filling];
    const next = rotation?.();
    await this.#write();
    this.#kept = position;
    this.#release(position);
    this.#options.onWritten();
    if (next === undefined) return;
    await this.#endFile();
    await this.#file.close();
    this.#file = await next();
  }

  async #write(): Promise<void> {
    if (this.#writing.length === 0) return;
    await this.#file.append(this.#writing.bytes);
    this.#writing.clear();
    if (this.#options.fsync) await this.#file.sync();
  }

  /** Behind what is kept already, so that a crash between the two cannot look like damage. */
  async #endFile(): Promise<void> {
    await this.#file.append(END_OF_FILE);
    await this.#file.sync();
  }

  #release(position: number): void {
    let released = 0;
    // Those that are released may make others wait, behind all that do already.
    for (const held of this.#held) {
      if (held.position > position) break;
      held.release();
      released += 1;
    }
    this.#held.splice(0, released);
  }
}
