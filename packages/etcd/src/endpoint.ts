import { EtcdError } from "./errors.ts";

/** Where a member of the cluster listens for clients. */
export interface Endpoint {
  /** As people write it: `http://10.0.0.1:2379`. */
  readonly url: string;
  readonly secure: boolean;
  readonly host: string;
  readonly port: number;
}

const DEFAULT_PORT = 2379;
const MAX_PORT = 65_535;
/** Scheme, host or IPv6 address in brackets, port, and what should not follow. */
const ENDPOINT = /^([a-z][a-z0-9+.-]*):\/\/(\[[0-9a-f:.]+\]|[^:/?#\\,[\]]*)(?::(\d+))?([/?#\\].*)?$/i;
const EXAMPLE = "an endpoint looks like http://127.0.0.1:2379";

/**
 * Reads an endpoint: `http://host:port` or `https://host:port`; without a scheme http is meant, without a port 2379.
 *
 * Throws `invalid-argument`, which names what is wrong. The text given is not repeated when it holds a password.
 */
export function parseEndpoint(text: string): Endpoint {
  const trimmed = text.trim();
  if (trimmed === "") throw invalid(`an endpoint is empty, perhaps by a comma too many: ${EXAMPLE}`);
  if (trimmed.includes("@")) {
    throw invalid("an endpoint must not hold a user or a password: give them as --user and --password-file");
  }
  if (/\s/.test(trimmed)) throw invalid(`endpoint "${trimmed}" has white space in it: ${EXAMPLE}`);
  const match = ENDPOINT.exec(/^[a-z][a-z0-9+.-]*:\/\//i.test(trimmed) ? trimmed : `http://${trimmed}`);
  const [, scheme = "", host = "", portText, path = "/"] = match ?? [];
  if (match !== null && !/^https?$/i.test(scheme)) {
    throw invalid(`endpoint "${trimmed}" has the scheme ${scheme}:// but must be http:// or https://`);
  }
  if (host === "" || /^\d+$/.test(host) || !URL.canParse(`http://${host}`)) {
    throw invalid(`endpoint "${trimmed}" is malformed: ${EXAMPLE}`);
  }
  if (path !== "/") throw invalid(`endpoint "${trimmed}" must end after the port: ${EXAMPLE}`);
  const port = portText === undefined ? DEFAULT_PORT : Number(portText);
  if (port > MAX_PORT) throw invalid(`endpoint "${trimmed}" is malformed: port ${port} is above ${MAX_PORT}`);
  if (port === 0) throw invalid(`endpoint "${trimmed}" has port 0: ${EXAMPLE}`);
  const { protocol, hostname } = new URL(`${scheme}://${host}`);
  const url = `${protocol}//${hostname}:${port}`;
  return { url, secure: protocol === "https:", host: hostname.replace(/^\[|\]$/g, ""), port };
}

/** Reads a list of endpoints. Throws `invalid-argument` when it is empty, or mixes http and https. */
export function parseEndpoints(texts: readonly string[]): Endpoint[] {
  if (texts.length === 0) throw invalid(`no endpoint given: ${EXAMPLE}`);
  const byUrl = new Map(texts.map(parseEndpoint).map((endpoint) => [endpoint.url, endpoint]));
  const endpoints = [...byUrl.values()];
  const [first] = endpoints;
  const other = endpoints.find((endpoint) => endpoint.secure !== first?.secure);
  if (first !== undefined && other !== undefined) {
    throw invalid(`endpoints mix http and https: ${first.url} and ${other.url}`);
  }
  return endpoints;
}

function invalid(message: string): EtcdError {
  return new EtcdError("invalid-argument", message);
}
