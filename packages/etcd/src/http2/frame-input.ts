import { DEFAULT_MAX_FRAME_BYTES, ErrorCode, HEAD_BYTES } from "./frames.ts";
import { Http2Error } from "./http2-error.ts";

/** Takes one frame. The payload is part of what arrived; who keeps it keeps all of that. */
export type FrameHandler = (type: number, flags: number, streamId: number, payload: Buffer) => void;

/** Cuts what arrives into frames. */
export class FrameInput {
  /** The beginning of a frame. */
  #rest: Buffer | undefined;
  #stopped = false;

  /**
   * Takes what arrived next and hands over the frames that are whole, in order.
   *
   * @throws Http2Error for a frame that is larger than we allow, and whatever the handler throws
   */
  push(chunk: Buffer, handle: FrameHandler): void {
    const bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = undefined;
    let at = 0;
    while (!this.#stopped && bytes.byteLength - at >= HEAD_BYTES) {
      const length = bytes.readUIntBE(at, 3);
      if (length > DEFAULT_MAX_FRAME_BYTES) {
        throw new Http2Error(ErrorCode.frameSizeError, `a frame of ${length} bytes is larger than allowed`);
      }
      const end = at + HEAD_BYTES + length;
      if (end > bytes.byteLength) break;
      const head = at;
      at = end;
      handle(
        bytes.readUInt8(head + 3),
        bytes.readUInt8(head + 4),
        bytes.readUInt32BE(head + 5) & 0x7fff_ffff,
        bytes.subarray(head + HEAD_BYTES, end),
      );
    }
    if (!this.#stopped && at < bytes.byteLength) this.#rest = bytes.subarray(at);
  }

  /** Hands over nothing more, not even what has arrived. */
  stop(): void {
    this.#stopped = true;
    this.#rest = undefined;
  }
}
