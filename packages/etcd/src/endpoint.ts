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
const EXAMPLE = "an endpoint looks like http://127.0.0.1:2379";

/**
 * Reads an endpoint: `http://host:port` or `https://host:port`; without a scheme http is meant, without a port 2379.
 *
 * Throws `invalid-argument`, which names what is wrong. The text given is not repeated when it holds a password.
 */
export function parseEndpoint(text: string): Endpoint {
  const trimmed = text.trim();
  if (trimmed === "") throw invalid(`empty endpoint: ${EXAMPLE}`);
  const withScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(trimmed) ? trimmed : `http://${trimmed}`;
  if (/^[^/]*\/\/[^/]*@/.test(withScheme)) {
    throw invalid("an endpoint must not hold a user or a password: give them as --user and --password-file");
  }
  if (/\s/.test(withScheme)) throw invalid(`endpoint "${trimmed}" has white space in it: ${EXAMPLE}`);
  let url: URL;
  try {
    url = new URL(withScheme);
  } catch {
    // The URL parser does not say what is wrong; the port is what people get wrong most.
    const port = /:(\d+)\/?$/.exec(withScheme)?.[1];
    const why = port !== undefined && Number(port) > 65_535 ? `port ${port} is above 65535` : EXAMPLE;
    throw invalid(`endpoint "${trimmed}" is malformed: ${why}`);
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw invalid(`endpoint "${trimmed}" has the scheme ${url.protocol}// but must be http:// or https://`);
  }
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "") {
    throw invalid(`endpoint "${trimmed}" must end after the port: ${EXAMPLE}`);
  }
  if (trimmed.endsWith(":0")) throw invalid(`endpoint "${trimmed}" has port 0: ${EXAMPLE}`);
  const explicitPort = /:(\d+)\/?$/.exec(withScheme.replace(/\[.*\]/, ""))?.[1];
  const port = explicitPort === undefined ? DEFAULT_PORT : Number(explicitPort);
  const secure = url.protocol === "https:";
  return {
    url: `${url.protocol}//${url.hostname}:${port}`,
    secure,
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port,
  };
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
