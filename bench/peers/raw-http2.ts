import * as http2 from "node:http2";
import { connect } from "node:net";
import { ClientSession } from "#http2";

/** A connection for bare requests. */
export interface Http2 {
  request(path: string, listener: RawListener): RawRequest;
  close(): void;
}

/** One request, which is over when its listener has heard of the end. */
export interface RawRequest {
  send(bytes: Uint8Array, last: boolean): void;
  cancel(): void;
}

/** What is heard of a request. */
export interface RawListener {
  readonly onData: (chunk: Buffer) => void;
  /** @param status gRPC's, or what is known instead of it */
  readonly onEnd: (status: string | undefined) => void;
}

const cancelled = 8;

/** Tenure's own HTTP/2. */
export function connectOwnHttp2(endpoint: string): Http2 {
  const { hostname: host, port } = new URL(endpoint);
  const socket = connect({ host, port: Number(port), noDelay: true });
  // What is written before the connection stands leaves as soon as it does.
  const session = new ClientSession(socket, { onClosed: () => undefined, onDestroyed: () => undefined });
  return {
    request: (path, { onData, onEnd }) => {
      let status: string | undefined;
      const stream = session.request(Object.entries(headersOf(path)), {
        onHeaders: (headers) => (status = headers.get("grpc-status") ?? status),
        onData,
        onEnd: (error) => onEnd(error?.message ?? status),
      });
      return { send: (bytes, last) => stream.send(bytes, last), cancel: () => stream.reset(cancelled) };
    },
    close: () => session.destroy(),
  };
}

/** node:http2. */
export function connectNodeHttp2(endpoint: string): Http2 {
  const { hostname: host, port } = new URL(endpoint);
  const socket = connect({ host, port: Number(port), noDelay: true });
  const session = http2.connect(endpoint, { createConnection: () => socket });
  return {
    request: (path, { onData, onEnd }) => {
      let status: string | undefined;
      const learn = ({ "grpc-status": told }: http2.IncomingHttpHeaders): void => {
        if (typeof told === "string") status = told;
      };
      const stream = session.request(headersOf(path));
      stream.on("response", learn);
      stream.on("trailers", learn);
      stream.on("data", onData);
      stream.on("error", (error: Error) => onEnd(error.message));
      stream.on("end", () => onEnd(status));
      return {
        send: (bytes, last) => void (last ? stream.end(bytes) : stream.write(bytes)),
        cancel: () => stream.close(cancelled),
      };
    },
    close: () => session.destroy(),
  };
}

function headersOf(path: string): Record<string, string> {
  return {
    ":method": "POST",
    ":scheme": "http",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
  };
}
