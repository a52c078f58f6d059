import { readFileSync } from "node:fs";
import * as net from "node:net";
import type * as tls from "node:tls";
import type { Endpoint } from "./endpoint.ts";
import { EtcdError } from "./errors.ts";

/**
 * How to prove who we are, and whom we trust, each as a text or as a file, in PEM. A file is read for every connection
 * that is made, so that one that was replaced counts from then on; connections that are open go on.
 */
export interface TlsOptions {
  /** Certificate authorities to trust instead of the system's. */
  readonly ca?: string | Uint8Array | undefined;
  readonly caFile?: string | undefined;
  /** Our certificate, with its key, where the server wants one. */
  readonly cert?: string | Uint8Array | undefined;
  readonly certFile?: string | undefined;
  readonly key?: string | Uint8Array | undefined;
  readonly keyFile?: string | undefined;
  /** The name or address the server's certificate must carry. Default: the host of the endpoint. */
  readonly serverName?: string | undefined;
}

/** What the certificate and its key are called in messages, and how their PEM begins. */
const PARTS = {
  ca: { what: "the certificate authority", begins: /-----BEGIN (X509 |TRUSTED )?CERTIFICATE-----/ },
  cert: { what: "the certificate", begins: /-----BEGIN (X509 |TRUSTED )?CERTIFICATE-----/ },
  key: { what: "the key", begins: /-----BEGIN ([A-Z]+ )?PRIVATE KEY-----/ },
} as const;

type Part = keyof typeof PARTS;

/** Throws `invalid-argument` for options that contradict each other, or the endpoint. */
export function assertTlsOptions(endpoint: Endpoint, options: TlsOptions): void {
  for (const part of ["ca", "cert", "key"] as const) {
    if (options[part] !== undefined && options[`${part}File`] !== undefined) {
      throw invalid(`${part} and ${part}File are both given: one of them will do`);
    }
  }
  const { ca, caFile, cert = options.certFile, key = options.keyFile, serverName } = options;
  if ((cert === undefined) !== (key === undefined)) {
    throw invalid(
      cert === undefined ? "a key is given without its certificate" : "a certificate is given without its key",
    );
  }
  const given = [ca, caFile, cert, serverName].some((option) => option !== undefined);
  if (given && !endpoint.secure) throw invalid(`options of TLS are given, but ${endpoint.url} is not https://`);
}

/**
 * Begins a TLS connection with what the files hold now.
 *
 * @throws EtcdError `unavailable` when they cannot be used, which may be while they are being replaced
 */
export function connectTls({ host, port }: Endpoint, options: TlsOptions): tls.TLSSocket {
  const name = options.serverName ?? host;
  const { checkServerIdentity, connect } = nodeTls();
  return connect({
    host,
    port,
    ALPNProtocols: ["h2"],
    secureContext: secureContext(options),
    // An address is no name to ask a server for, but its certificate must carry it all the same.
    ...(net.isIP(name) === 0 && { servername: name }),
    checkServerIdentity: (_, certificate) => checkServerIdentity(name, certificate),
  });
}

/** Loading it takes a tenth of `import "tenure"`, and many have no use for it. */
function nodeTls(): typeof tls {
  return process.getBuiltinModule("node:tls");
}

function secureContext(options: TlsOptions): tls.SecureContext {
  const ca = pemOf("ca", options);
  const cert = pemOf("cert", options);
  const key = pemOf("key", options);
  try {
    return nodeTls().createSecureContext({
      ...(ca !== undefined && { ca }),
      ...(cert !== undefined && { cert }),
      ...(key !== undefined && { key }),
    });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const pair = `${named("cert", options)} and ${named("key", options)}`;
    const reason = message.replace(/^error:[0-9A-F]*:/, "");
    const why = code === "ERR_OSSL_X509_KEY_VALUES_MISMATCH" ? "they do not belong together" : reason;
    throw unusable(`${pair} cannot be used: ${why}`, error);
  }
}

/** One part as it is now; undefined when it was not given. */
function pemOf(part: Part, options: TlsOptions): string | undefined {
  const text = textOf(part, options);
  // OpenSSL takes a text without any authority for trusting nobody, and then blames the server's certificate.
  if (text !== undefined && !PARTS[part].begins.test(text)) {
    throw unusable(`${named(part, options)} is no ${part === "key" ? "private key" : "certificate"} in PEM`);
  }
  return text;
}

function textOf(part: Part, options: TlsOptions): string | undefined {
  const file = options[`${part}File`];
  if (file === undefined) {
    const given = options[part];
    return given === undefined || typeof given === "string" ? given : Buffer.from(given).toString();
  }
  try {
    // Small, local, and read so rarely that waiting for it costs less than the steps between.
    return readFileSync(file, "utf8");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why = code === "ENOENT" ? "there is no such file" : message;
    throw unusable(`${named(part, options)} cannot be read: ${why}`, error);
  }
}

function named(part: Part, options: TlsOptions): string {
  const file = options[`${part}File`];
  return file === undefined ? PARTS[part].what : `${PARTS[part].what} ${file}`;
}

function invalid(message: string): EtcdError {
  return new EtcdError("invalid-argument", message);
}

function unusable(message: string, cause?: unknown): EtcdError {
  return new EtcdError("unavailable", message, { cause, mayHaveApplied: false });
}

/** What Node adds to the errors of a handshake. */
interface TlsError extends Error {
  readonly code?: string;
  /** OpenSSL's words. */
  readonly reason?: string;
  /** The server's certificate. */
  readonly cert?: { readonly subjectaltname?: string };
}

/** What an operator needs to hear about a handshake that failed; undefined when the failure was another. */
export function describeTlsError(error: TlsError, { host }: Endpoint, options: TlsOptions): string | undefined {
  switch (error.code) {
    case "EPROTO":
    case "ERR_SSL_WRONG_VERSION_NUMBER":
    case "ERR_SSL_PACKET_LENGTH_TOO_LONG":
      return /wrong.version.number|packet.length|unknown.protocol/i.test(error.message)
        ? "it does not speak TLS: is it an http:// endpoint?"
        : tlsFailed(error);
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return (
        "the server's certificate is for another name: it carries " +
        `${error.cert?.subjectaltname ?? "none"}, not ${options.serverName ?? host}`
      );
    case "CERT_HAS_EXPIRED":
      return "the server's certificate has expired";
    case "CERT_NOT_YET_VALID":
      return "the server's certificate is not valid yet: is the clock of this machine right?";
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
    case "UNABLE_TO_GET_ISSUER_CERT":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
    case "CERT_SIGNATURE_FAILURE":
      return "the server's certificate is not signed by an authority we trust: is --cacert right?";
    case "ECONNRESET":
      return "the connection was closed during the TLS handshake: is it an http:// endpoint?";
    default:
      return describeTlsAlert(error, options) ?? brokenTls(error);
  }
}

/** The alerts with which a server ends a handshake (RFC 8446, section 6.2). */
const HANDSHAKE_ALERTS: ReadonlySet<string> = new Set(
  [40, 42, 43, 44, 45, 46, 48, 49, 51, 70, 71, 86, 109, 110, 112, 113, 115, 116, 120].map(String),
);

/**
 * What it means that the server ended a handshake; undefined when it did not. With TLS 1.3 this comes after the
 * connection seemed to be made, but before the server has read anything else.
 */
export function describeTlsAlert(error: TlsError, options: TlsOptions): string | undefined {
  const alert = /alert number (\d+)/.exec(error.message)?.[1];
  // Any other one, or a fault that we found, may come after the server has read what we sent.
  if (alert === undefined || !HANDSHAKE_ALERTS.has(alert)) return undefined;
  const wantsCertificate = alert === "40" || alert === "42" || alert === "116";
  if (wantsCertificate && options.cert === undefined && options.certFile === undefined) {
    return "the server refuses the TLS handshake: it wants a client certificate";
  }
  switch (alert) {
    case "45":
      return `the server refuses ${named("cert", options)}: it has expired`;
    case "48":
      return `the server refuses ${named("cert", options)}: no authority that it trusts has signed it`;
    case "42":
    case "43":
    case "44":
    case "46":
      return `the server refuses ${named("cert", options)}: ${error.reason ?? "bad certificate"}`;
    default:
      return tlsFailed(error);
  }
}

/** What it means that TLS itself failed, at any time; undefined when something else did. */
export function brokenTls(error: TlsError): string | undefined {
  return error.code?.startsWith("ERR_SSL_") === true ? tlsFailed(error) : undefined;
}

function tlsFailed(error: TlsError): string {
  return `TLS failed: ${error.reason ?? error.message.trim()}`;
}
