import type { DiskFile } from "./disk.ts";
import { decodeHeader, type FileHeader, HEADER_BYTES } from "./file-header.ts";
import { FRAME_HEADER_BYTES, frameHead, isWhole } from "./frame-file.ts";

/** Bytes read at once. */
const WINDOW_BYTES = 1024 * 1024;

/** How a file ends. */
export type FileEnd =
  /** With a frame that says so, or with the last change before a crash. */
  | { readonly t: "whole"; readonly isEnded: boolean }
  /** In the middle of a write: nothing of the file follows `offset`. */
  | { readonly t: "torn" }
  /** What follows `offset` is damaged: there is more of the file behind it. */
  | { readonly t: "damaged" };

/** What was found in a file. */
export interface FileContent {
  readonly end: FileEnd;
  /** Where the whole frames end. */
  readonly offset: number;
  readonly frames: number;
}

/** Reads a file of frames from the beginning. */
export class FrameReader {
  readonly header: FileHeader;
  readonly #file: DiskFile;
  readonly #size: number;
  #window: Buffer = Buffer.alloc(0);
  #windowAt = 0;

  private constructor(file: DiskFile, size: number, header: FileHeader) {
    this.#file = file;
    this.#size = size;
    this.header = header;
  }

  /** Reads the header. Throws StorageError for one that is damaged or too new. */
  static async open(file: DiskFile, path: string): Promise<FrameReader> {
    const header = decodeHeader(await file.read(0, HEADER_BYTES), path);
    return new FrameReader(file, await file.size(), header);
  }

  /** Bytes of the file. */
  get size(): number {
    return this.#size;
  }

  /** Reads frame after frame up to the end or the first that is not whole. */
  async read(take: (payload: Buffer, offset: number) => void): Promise<FileContent> {
    let offset = HEADER_BYTES;
    let frames = 0;
    let isEnded = false;
    while (offset < this.#size) {
      const frame = await this.#frameAt(offset);
      if (frame === undefined || frameHead(frame, 0).number !== frames) {
        const t = (await this.#hasFrameAfter(offset, frames)) ? "damaged" : "torn";
        return { end: { t }, offset, frames };
      }
      isEnded = frame.length === FRAME_HEADER_BYTES;
      if (!isEnded) take(frame.subarray(FRAME_HEADER_BYTES), offset);
      offset += frame.length;
      frames += 1;
    }
    return { end: { t: "whole", isEnded }, offset, frames };
  }

  /** The whole frame that begins at an offset; undefined if there is none. */
  async #frameAt(offset: number): Promise<Buffer | undefined> {
    if (this.#size - offset < FRAME_HEADER_BYTES) return undefined;
    const { salt, length } = frameHead(await this.#bytes(offset, FRAME_HEADER_BYTES), 0);
    if (salt !== this.header.salt || length > this.#size - offset - FRAME_HEADER_BYTES) return undefined;
    const frame = await this.#bytes(offset, FRAME_HEADER_BYTES + length);
    return isWhole(frame) ? frame : undefined;
  }

  /** Whether a later frame of the file stands at an offset or behind it. */
  async #hasFrameAfter(offset: number, number: number): Promise<boolean> {
    const mark = Buffer.alloc(4);
    mark.writeUInt32LE(this.header.salt);
    for (let from = offset; from < this.#size; from += WINDOW_BYTES) {
      // The windows overlap, so that no mark is cut in two.
      const bytes = Buffer.from(await this.#bytes(from, Math.min(WINDOW_BYTES + mark.length - 1, this.#size - from)));
      for (let at = bytes.indexOf(mark); at !== -1; at = bytes.indexOf(mark, at + 1)) {
        const frame = await this.#frameAt(from + at);
        if (frame !== undefined && frameHead(frame, 0).number > number) return true;
      }
    }
    return false;
  }

  async #bytes(offset: number, length: number): Promise<Buffer> {
    const isInWindow = offset >= this.#windowAt && offset + length <= this.#windowAt + this.#window.length;
    if (!isInWindow) {
      this.#window = await this.#file.read(offset, Math.max(length, WINDOW_BYTES));
      this.#windowAt = offset;
    }
    return this.#window.subarray(offset - this.#windowAt, offset - this.#windowAt + length);
  }
}
