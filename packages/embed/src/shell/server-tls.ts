import type { ServerHttp2Session } from "node:http2";
import { createServer, type Server, type TLSSocket } from "node:tls";

/** How a server speaks TLS. All in PEM. */
export interface EmbedTls {
  /** The server's certificate, with those between it and its authority. */
  readonly cert: string | Uint8Array;
  readonly key: string | Uint8Array;
  /**
   * Authorities of clients. Given, every client must show a certificate of one of them, and while authentication is on
   * its common name is the user it acts as, unless it sends a token.
   */
  readonly clientCa?: string | Uint8Array | undefined;
}

/** Nobody needs longer for a handshake. */
const HANDSHAKE_TIMEOUT_MS = 30_000;
/** gRPC, and what tells others what this is. */
const PROTOCOLS = ["h2", "http/1.1"];

/**
 * A server whose connections are as if nobody had encrypted them. A client that fails to shake hands is dropped.
 *
 * @throws Error when the certificate and the key cannot be used
 */
export function createTlsServer({ cert, key, clientCa }: EmbedTls, onConnection: (socket: TLSSocket) => void): Server {
  const options = {
    cert: bytesOf(cert),
    key: bytesOf(key),
    ALPNProtocols: PROTOCOLS,
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    noDelay: true,
    ...(clientCa === undefined ? {} : { ca: bytesOf(clientCa), requestCert: true, rejectUnauthorized: true }),
  };
  const server = open(options, onConnection);
  server.on("tlsClientError", () => {});
  return server;
}

/** The common name in the certificate of a client that had to show one. */
export function commonNameOf(session: ServerHttp2Session): string | undefined {
  const { getPeerCertificate } = session.socket as Partial<TLSSocket>;
  const name: unknown = getPeerCertificate?.call(session.socket).subject?.CN;
  return typeof name === "string" ? name : undefined;
}

function open(options: Parameters<typeof createServer>[0], onConnection: (socket: TLSSocket) => void): Server {
  try {
    return createServer(options, onConnection);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.replace(/^error:[0-9A-F]*:/, "") : String(cause);
    throw new Error(`the certificate and its key cannot be used: ${reason}`, { cause });
  }
}

function bytesOf(pem: string | Uint8Array): string | Buffer {
  return typeof pem === "string" ? pem : Buffer.from(pem);
}
