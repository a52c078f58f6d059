import type { Headers } from "./hpack-decoder.ts";
import type { HeaderField } from "./hpack-encoder.ts";

/**
 * A connection over which requests go.
 *
 * This and its streams are all that the transport knows of HTTP/2, so that a simulation can stand in their place.
 */
export interface Http2Session {
  /** Bytes that have arrived. */
  readonly bytesRead: number;
  /** Whether the other side has ever spoken HTTP/2. */
  readonly spoke: boolean;
  /** Takes no more requests; those that are open may go on. */
  readonly closed: boolean;
  /** It is over, and so are all its streams. */
  readonly destroyed: boolean;
  /**
   * Begins a request. Where the server allows no more at once, it is sent when another one has ended.
   *
   * @throws Http2Error when the session is closed
   */
  request(fields: readonly HeaderField[], listener: StreamListener): Http2Stream;
  /** Calls back when the other side has answered, which may be never. */
  ping(onAnswer: () => void): void;
  /** Calls the listener when the other side announces its end; returns a function that takes the listener off. */
  onGoaway(listener: () => void): () => void;
  /** Takes no more requests, and ends when those that are open have. */
  close(): void;
  /** Ends it with all its streams, who hear of it, and of `error`, after the code that is running now. */
  destroy(error?: Error): void;
}

/** One request. */
export interface Http2Stream {
  /** It is over: whatever is sent is dropped. */
  readonly over: boolean;
  /** Sends bytes as soon as the server has room for them; `last` ends our side. */
  send(bytes: Uint8Array, last: boolean): void;
  /** Lets go of a request that the server has ended. */
  finish(): void;
  /** Ends it with a code from our side; its listener hears no more. */
  reset(code: number): void;
  /** Gives the server no new room until {@link resume}. What it had room for arrives all the same. */
  pause(): void;
  resume(): void;
}

/** What a request tells, in this order; after its end nothing. */
export interface StreamListener {
  /** Headers, or what comes after the data; `last` when the server ends its side with them. */
  onHeaders(headers: Headers, last: boolean): void;
  onData(bytes: Buffer): void;
  /** @param error undefined when the server has ended its side properly */
  onEnd(error: Error | undefined): void;
}
