import { ErrorCode, Flag } from "./frames.ts";
import { type Headers, HpackDecoder } from "./hpack-decoder.ts";
import { Http2Error } from "./http2-error.ts";

/** Headers that are whole. */
export interface HeaderBlock {
  readonly streamId: number;
  readonly headers: Headers;
  /** Whether the server ends its side of the stream with them. */
  readonly last: boolean;
}

interface Begun {
  readonly streamId: number;
  readonly last: boolean;
  readonly parts: Buffer[];
  bytes: number;
}

/** As they travel, and as names and values with 32 bytes for each pair. */
const MAX_BLOCK_BYTES = 64 * 1024;
const MAX_LIST_BYTES = 256 * 1024;
/** A server may cut headers into frames as it likes, but not send empty ones for ever. */
const MAX_PARTS = 256;

/** Joins the frames of headers, and decodes them. */
export class HeaderInput {
  readonly #decoder = new HpackDecoder();
  #begun: Begun | undefined;

  /** The stream whose headers are not whole, so that no other frame may come in between; 0 for none. */
  get unfinished(): number {
    return this.#begun?.streamId ?? 0;
  }

  /**
   * Takes the first frame of a block, without padding.
   *
   * @returns the headers when they are whole
   * @throws Http2Error for what ends the connection
   */
  begin(streamId: number, flags: number, part: Buffer): HeaderBlock | undefined {
    const last = (flags & Flag.endStream) !== 0;
    // Nearly every block is one frame.
    if ((flags & Flag.endHeaders) !== 0) return { streamId, last, headers: this.#decoder.decode(part, MAX_LIST_BYTES) };
    this.#begun = { streamId, last, parts: [part], bytes: part.byteLength };
    return undefined;
  }

  /** Takes the next frame of the block that was begun. */
  proceed(flags: number, part: Buffer): HeaderBlock | undefined {
    const begun = this.#begun;
    if (begun === undefined) throw new Http2Error(ErrorCode.protocolError, "headers go on that were not begun");
    begun.bytes += part.byteLength;
    if (begun.bytes > MAX_BLOCK_BYTES || begun.parts.push(part) > MAX_PARTS) {
      throw new Http2Error(ErrorCode.enhanceYourCalm, `the headers are larger than ${MAX_BLOCK_BYTES / 1024} KiB`);
    }
    if ((flags & Flag.endHeaders) === 0) return undefined;
    this.#begun = undefined;
    const headers = this.#decoder.decode(Buffer.concat(begun.parts), MAX_LIST_BYTES);
    return { streamId: begun.streamId, last: begun.last, headers };
  }
}
