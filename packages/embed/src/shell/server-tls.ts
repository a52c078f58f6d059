import { readFileSync } from "node:fs";
import type { ServerHttp2Session } from "node:http2";
import { createServer, type SecureContextOptions, type Server, type TLSSocket } from "node:tls";

/**
 * How a server speaks TLS: each part as a text or as a file, in PEM. The files of the certificate and its key are read
 * again for every connection, as etcd does, so that renewed ones count from then on; connections that are open go on.
 */
export interface EmbedTls {
  /** The server's certificate, with those between it and its authority. */
  readonly cert?: string | Uint8Array | undefined;
  readonly certFile?: string | undefined;
  readonly key?: string | Uint8Array | undefined;
  readonly keyFile?: string | undefined;
  /**
   * Authorities of clients. Given, every client must show a certificate of one of them, and while authentication is on
   * its common name is the user it acts as, unless it sends a token. As in etcd, its file is read once.
   */
  readonly clientCa?: string | Uint8Array | undefined;
  readonly clientCaFile?: string | undefined;
  /**
   * Told when a renewed certificate or key cannot be used: connections get the last good ones then. Default: a warning
   * of the process.
   */
  readonly warn?: ((message: string) => void) | undefined;
}

/** Nobody needs longer for a handshake. */
const HANDSHAKE_TIMEOUT_MS = 30_000;
/** gRPC, and what tells others what this is. */
const PROTOCOLS = ["h2", "http/1.1"];

/**
 * A server whose connections are as if nobody had encrypted them. A client that fails to shake hands is dropped.
 *
 * @throws Error (`code` is INVALID_TLS) when the certificate and the key cannot be used
 */
export function createTlsServer(tls: EmbedTls, onConnection: (socket: TLSSocket) => void): Server {
  const ca = readPart("clientCa", tls);
  const options = {
    ALPNProtocols: PROTOCOLS,
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    noDelay: true,
    ...(ca === undefined ? {} : { requestCert: true, rejectUnauthorized: true }),
  };
  const server = createServer(options, onConnection);
  const renewal = new Renewal(tls, ca, server);
  renewal.load();
  server.on("tlsClientError", () => {});
  // Before the listener that shakes hands.
  server.prependListener("connection", () => renewal.refresh());
  return server;
}

/** Whether clients have to show certificates. */
export function wantsCertificates(tls: EmbedTls | undefined): boolean {
  return tls?.clientCa !== undefined || tls?.clientCaFile !== undefined;
}

/** The common name in the certificate of a client that had to show one. */
export function commonNameOf(session: ServerHttp2Session): string | undefined {
  const { getPeerCertificate } = session.socket as Partial<TLSSocket>;
  const name: unknown = getPeerCertificate?.call(session.socket).subject?.CN;
  return typeof name === "string" ? name : undefined;
}

/** Gives a server the certificate and key that are in their files now. */
class Renewal {
  readonly #tls: EmbedTls;
  readonly #ca: Buffer | undefined;
  readonly #server: Server;
  /** What was read last, good or not. */
  #seen = "";
  /** The mistake that was told last. */
  #told = "";

  constructor(tls: EmbedTls, ca: Buffer | undefined, server: Server) {
    this.#tls = tls;
    this.#ca = ca;
    this.#server = server;
  }

  /** Throws when they cannot be used. */
  load(): void {
    const [cert, key] = [readPart("cert", this.#tls), readPart("key", this.#tls)];
    if (cert === undefined || key === undefined) throw unusable("TLS needs a certificate and its key");
    const seen = `${cert.toString("latin1")}\n${key.toString("latin1")}`;
    if (seen === this.#seen) return;
    this.#seen = seen;
    this.#use({ cert, key, ...(this.#ca === undefined ? {} : { ca: this.#ca }) });
  }

  /** The same on the way: a mistake is told once, and changes nothing. */
  refresh(): void {
    const { certFile, keyFile, warn = warnProcess } = this.#tls;
    if (certFile === undefined && keyFile === undefined) return;
    try {
      this.load();
      this.#told = "";
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (message === this.#told) return;
      this.#told = message;
      warn(`${message}; the last good ones are used`);
    }
  }

  #use(options: SecureContextOptions): void {
    try {
      this.#server.setSecureContext(options);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message.replace(/^error:[0-9A-F]*:/, "") : String(cause);
      throw unusable(`the certificate and its key cannot be used: ${reason}`, cause);
    }
  }
}

/** One part, wherever it is. */
function readPart(name: "cert" | "key" | "clientCa", tls: EmbedTls): Buffer | undefined {
  const [text, file] = [tls[name], tls[`${name}File`]];
  if (text !== undefined && file !== undefined) throw unusable(`${name} and ${name}File are both given`);
  if (text !== undefined) return typeof text === "string" ? Buffer.from(text) : Buffer.from(text);
  if (file === undefined) return undefined;
  try {
    return readFileSync(file);
  } catch (cause) {
    const reason = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
    throw unusable(`${name}File ${file} cannot be read: ${reason}`, cause);
  }
}

function unusable(message: string, cause?: unknown): Error {
  return Object.assign(new Error(message, { cause }), { code: "INVALID_TLS" });
}

function warnProcess(message: string): void {
  process.emitWarning(message);
}
