import type * as net from "node:net";
import { DEFAULT_MAX_FRAME_BYTES, ErrorCode, Flag, frameBytes, FrameType } from "./frames.ts";
import { Http2Error } from "./http2-error.ts";

/** Answers to pings and settings that a server may leave unread. */
const MAX_UNREAD_ANSWERS = 10_000;
const NOTHING = new Uint8Array(0);

/** Gathers the frames that one turn of the event loop sends, and writes them at its end. */
export class FrameOutput {
  readonly #socket: net.Socket;
  #frames: Uint8Array[] = [];
  #leavesSoon = false;
  #unreadAnswers = 0;
  #stopped = false;

  constructor(socket: net.Socket) {
    this.#socket = socket;
  }

  write(frame: Uint8Array): void {
    if (this.#stopped) return;
    this.#frames.push(frame);
    if (this.#leavesSoon) return;
    this.#leavesSoon = true;
    process.nextTick(this.#flushNext);
  }

  /** Writes a header block in as many frames as it takes. */
  writeHeaders(streamId: number, block: Uint8Array): void {
    let type: number = FrameType.headers;
    let at = 0;
    do {
      const part = block.subarray(at, at + DEFAULT_MAX_FRAME_BYTES);
      at += part.byteLength;
      this.write(frameBytes(type, at === block.byteLength ? Flag.endHeaders : 0, streamId, part));
      type = FrameType.continuation;
    } while (at < block.byteLength);
  }

  /**
   * Writes what a frame of the server has to be answered with, when those who waited for what came with it have run:
   * etcd sends a ping with nearly every answer, and to write takes tens of microseconds.
   *
   * @throws Http2Error when it asks on and on, and does not read
   */
  answer(frame: Uint8Array): void {
    if (++this.#unreadAnswers > MAX_UNREAD_ANSWERS) {
      throw new Http2Error(ErrorCode.enhanceYourCalm, "the server asks for answers and does not read them");
    }
    if (this.#stopped) return;
    if (this.#frames.push(frame) === 1) setImmediate(this.#flush);
  }

  /** Writes what there is now, and takes nothing more. */
  stop(): void {
    this.#flush();
    this.#stopped = true;
  }

  /** Behind whatever else waits for the end of the turn: a campaign's transaction leaves with its watch. */
  readonly #flushNext = (): void => process.nextTick(this.#flush);

  readonly #flush = (): void => {
    this.#leavesSoon = false;
    if (this.#frames.length === 0 || !this.#socket.writable) return;
    // Everything before has left. Of what is written now that cannot be said: TLS is never done when a write returns.
    if (this.#socket.writableLength === 0) this.#unreadAnswers = 0;
    const [first = NOTHING] = this.#frames;
    const bytes = this.#frames.length === 1 ? first : Buffer.concat(this.#frames);
    this.#frames = [];
    this.#socket.write(bytes);
  };
}
