import { crc32 } from "node:zlib";

import type { Disk, DiskFile } from "./disk.ts";
import { encodeHeader, type FileHeader, HEADER_BYTES } from "./file-header.ts";

/**
 * In front of each frame: the salt of its file, a checksum of all that follows, how many bytes it holds, and which
 * frame of the file it is.
 */
export const FRAME_HEADER_BYTES = 16;
/** Where the checksum begins to cover. */
const CHECKED_FROM = 8;

/** What the head of a frame says. */
export interface FrameHead {
  readonly salt: number;
  readonly checksum: number;
  readonly length: number;
  readonly number: number;
}

/** A file as it is written: a header, and frames behind one another, each of which is whole or not there. */
export class FrameFile {
  readonly header: FileHeader;
  readonly #file: DiskFile;
  #size: number;
  #frames: number;

  /** A file that is there already, with so many whole frames up to `size`. */
  constructor(file: DiskFile, header: FileHeader, at: { readonly size: number; readonly frames: number }) {
    this.#file = file;
    this.header = header;
    this.#size = at.size;
    this.#frames = at.frames;
  }

  /** Makes a file with nothing but its header. */
  static async create(disk: Disk, name: string, header: FileHeader): Promise<FrameFile> {
    const file = await disk.create(name);
    await file.write(0, encodeHeader(header));
    return new FrameFile(file, header, { size: HEADER_BYTES, frames: 0 });
  }

  /** Bytes written so far. */
  get size(): number {
    return this.#size;
  }

  /** Writes a frame. One without a payload says that the file was ended on purpose. */
  async append(payload: Uint8Array): Promise<void> {
    const frame = encodeFrame(this.header.salt, this.#frames, payload);
    await this.#file.write(this.#size, frame);
    this.#size += frame.length;
    this.#frames += 1;
  }

  /** Makes sure that all frames so far stay. */
  sync(): Promise<void> {
    return this.#file.sync();
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

/** Reads the head of a frame. */
export function frameHead(bytes: Buffer, at: number): FrameHead {
  return {
    salt: bytes.readUInt32LE(at),
    checksum: bytes.readUInt32LE(at + 4),
    length: bytes.readUInt32LE(at + 8),
    number: bytes.readUInt32LE(at + 12),
  };
}

/** Whether a frame, which begins at 0, is what was written. */
export function isWhole(frame: Buffer): boolean {
  return crc32(frame.subarray(CHECKED_FROM)) === frame.readUInt32LE(4);
}

function encodeFrame(salt: number, number: number, payload: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + payload.byteLength);
  frame.writeUInt32LE(salt, 0);
  frame.writeUInt32LE(payload.byteLength, 8);
  frame.writeUInt32LE(number, 12);
  frame.set(payload, FRAME_HEADER_BYTES);
  frame.writeUInt32LE(crc32(frame.subarray(CHECKED_FROM)), 4);
  return frame;
}
