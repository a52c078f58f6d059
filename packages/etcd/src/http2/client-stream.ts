import type { Headers } from "./hpack-decoder.ts";
import type { HeaderField } from "./hpack-encoder.ts";
import { ErrorCode, Flag, MAX_31_BITS } from "./frames.ts";
import type { Http2Stream, StreamListener } from "./http2.ts";
import { Http2Error } from "./http2-error.ts";

/** What a stream needs of its session. */
export interface StreamHost {
  /** Bytes of data the server has room for, on all streams together. */
  readonly sendWindow: number;
  /** The largest frame the server takes. */
  readonly maxFrameBytes: number;
  /** Sends data, and counts it against the window of all streams. */
  sendData(stream: ClientStream, flags: number, payload: Uint8Array): void;
  sendReset(stream: ClientStream, code: number): void;
  sendWindowUpdate(stream: ClientStream, bytes: number): void;
  /** The stream waits for room. */
  blocked(stream: ClientStream): void;
  /** Nothing more comes, and nothing more is sent. */
  ended(stream: ClientStream): void;
}

/** What is left to send. */
interface Unsent {
  readonly bytes: Uint8Array;
  readonly last: boolean;
}

/** One request of a client. */
export class ClientStream implements Http2Stream {
  /** 0 until the server has been asked. */
  id = 0;
  readonly fields: readonly HeaderField[];
  readonly #host: StreamHost;
  readonly #listener: StreamListener;
  #unsent: Unsent[] = [];
  #sendWindow = 0;
  /** Bytes the server may still send. */
  #receiveWindow: number;
  /** Bytes that arrived, and for which the server has no new room yet. */
  #owed = 0;
  readonly #windowBytes: number;
  #paused = false;
  #responded = false;
  /** The end of our side has been sent, or waits behind what is unsent. */
  #gaveLast = false;
  #sentLast = false;
  /** The server has ended its side. */
  #received = false;
  #over = false;

  /** @param windowBytes the room that a server has on this stream, as our settings say */
  constructor(host: StreamHost, fields: readonly HeaderField[], listener: StreamListener, windowBytes: number) {
    this.#host = host;
    this.fields = fields;
    this.#listener = listener;
    this.#windowBytes = windowBytes;
    this.#receiveWindow = windowBytes;
  }

  get over(): boolean {
    return this.#over;
  }

  /** The server has been asked: what was to be sent so far goes out. */
  start(id: number, sendWindow: number): void {
    this.id = id;
    this.#sendWindow = sendWindow;
    this.flush();
  }

  send(bytes: Uint8Array, last: boolean): void {
    if (this.#over || this.#gaveLast) return;
    this.#gaveLast = last;
    this.#unsent.push({ bytes, last });
    if (this.#unsent.length === 1) this.flush();
  }

  finish(): void {
    if (this.#over || this.#sentLast) return;
    // What the server did not wait for it does not want.
    if (this.#unsent.length > 0) this.reset(ErrorCode.cancel);
    else this.send(new Uint8Array(0), true);
  }

  reset(code: number): void {
    if (this.#over) return;
    if (this.id !== 0) this.#host.sendReset(this, code);
    this.#close();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#giveRoom();
  }

  /** Sends as much as there is room for. */
  flush(): void {
    if (this.id === 0) return;
    for (let next = this.#unsent[0]; next !== undefined; next = this.#unsent[0]) {
      const { bytes, last } = next;
      // The settings may have taken back more than there was.
      const room = Math.max(0, Math.min(this.#sendWindow, this.#host.sendWindow));
      if (room === 0 && bytes.byteLength > 0) return this.#host.blocked(this);
      const size = Math.min(bytes.byteLength, room, this.#host.maxFrameBytes);
      const isAll = size === bytes.byteLength;
      if (isAll) this.#unsent.shift();
      else this.#unsent[0] = { bytes: bytes.subarray(size), last };
      this.#sendWindow -= size;
      const isLast = isAll && last;
      this.#host.sendData(this, isLast ? Flag.endStream : 0, isAll ? bytes : bytes.subarray(0, size));
      if (!isLast) continue;
      this.#sentLast = true;
      if (this.#received) this.#close();
    }
  }

  /** The server has room for more on this stream. */
  widen(bytes: number): void {
    if (this.#sendWindow + bytes > MAX_31_BITS) return this.fail(tooLarge());
    this.#sendWindow += bytes;
    this.flush();
  }

  /**
   * The server's settings give more room to every stream, or take it back. Nothing is sent yet.
   *
   * @throws Http2Error for more than there can be, which ends the connection
   */
  resize(bytes: number): void {
    if (this.#sendWindow + bytes > MAX_31_BITS) throw tooLarge();
    this.#sendWindow += bytes;
  }

  takeHeaders(headers: Headers, last: boolean): void {
    if (this.#received) return;
    if (!isValid(headers, this.#responded, last)) {
      return this.fail(new Http2Error(ErrorCode.protocolError, "the server's headers break the rules of HTTP/2"));
    }
    if (isInformational(headers)) return;
    this.#responded = true;
    this.#listener.onHeaders(headers, last);
    if (last) this.#takeEnd();
  }

  /**
   * @param bytes the data without its padding
   * @param size how much of the window it takes
   * @throws Http2Error for data that cannot be here, which ends the connection
   */
  takeData(bytes: Buffer, size: number, last: boolean): void {
    if (this.#received) return;
    if (!this.#responded) throw new Http2Error(ErrorCode.protocolError, "data came before its headers");
    this.#receiveWindow -= size;
    if (this.#receiveWindow < 0) throw new Http2Error(ErrorCode.flowControlError, "more data came than allowed");
    this.#owed += size;
    if (bytes.byteLength > 0) this.#listener.onData(bytes);
    if (last) this.#takeEnd();
    else this.#giveRoom();
  }

  /** The server has reset the stream. */
  takeReset(code: number): void {
    this.lose(new Http2Error(code, `the server reset the call: ${Http2Error.nameOf(code)}`));
  }

  /** The stream is over because of what the server did wrong: it is told, and the listener hears of it. */
  fail(error: Http2Error): void {
    if (this.#over) return;
    this.#host.sendReset(this, error.code);
    this.lose(error);
  }

  /** The stream is over, and nobody has to be told but the listener. */
  lose(error: Error): void {
    if (this.#over) return;
    const known = this.#received;
    this.#close();
    if (!known) this.#listener.onEnd(error);
  }

  #takeEnd(): void {
    // The listener may have ended it while it was told of what came before.
    if (this.#over) return;
    this.#received = true;
    if (this.#sentLast) this.#close();
    this.#listener.onEnd(undefined);
  }

  #close(): void {
    this.#over = true;
    this.#unsent = [];
    this.#host.ended(this);
  }

  /** Room is given in large pieces: half a window at a time costs next to nothing, and the server need not wait. */
  #giveRoom(): void {
    if (this.#over || this.#received || this.#paused || this.#owed < this.#windowBytes / 2) return;
    this.#receiveWindow += this.#owed;
    this.#host.sendWindowUpdate(this, this.#owed);
    this.#owed = 0;
  }
}

function tooLarge(): Http2Error {
  return new Http2Error(ErrorCode.flowControlError, "the window is larger than possible");
}

const FIELD_NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;

/** Whether headers may stand where they came: a status first, then trailers, which are the end. */
function isValid(headers: Headers, responded: boolean, last: boolean): boolean {
  const status = headers.get(":status");
  if (responded ? status !== undefined || !last : status === undefined || !/^\d{3}$/.test(status)) return false;
  if (last && isInformational(headers)) return false;
  for (const name of headers.keys()) if (name !== ":status" && !FIELD_NAME.test(name)) return false;
  return true;
}

/** Whether the answer is still to come. */
function isInformational(headers: Headers): boolean {
  return headers.get(":status")?.startsWith("1") === true;
}
