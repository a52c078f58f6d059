import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";
import { isLoopback } from "../listening.ts";

/** Why a request is not answered. */
export interface Refusal {
  readonly status: number;
  readonly error: string;
}

/** What every route but an action answers. */
export const METHODS: readonly string[] = ["GET", "HEAD", "OPTIONS"];
/** What an action answers. */
export const ACTION_METHODS: readonly string[] = ["POST", "OPTIONS"];

/** What is needed of a request. */
export type Checked = Pick<IncomingMessage, "method" | "httpVersion" | "headers" | "rawHeaders"> & {
  readonly socket: Pick<IncomingMessage["socket"], "localAddress">;
};

/**
 * Refuses what a page of another site, opened in a browser that reaches this address, could send: under a name that it
 * made lead here (DNS rebinding), or across origins. Programs send neither Origin nor Sec-Fetch headers.
 *
 * @param names hosts that are allowed besides loopback and the address that the request came to
 */
export function refusalOf(request: Checked, names: ReadonlySet<string>): Refusal | undefined {
  const { headers, rawHeaders } = request;
  // Names and values in turn. Only the first Host would be seen in `headers`.
  const hosts = rawHeaders.filter((name, index) => index % 2 === 0 && name.toLowerCase() === "host").length;
  // Health checks of the old version have none, and browsers always have one.
  if (hosts !== 1 && !(hosts === 0 && request.httpVersion === "1.0")) {
    return { status: 400, error: "one Host header is needed" };
  }
  if (headers.host !== undefined && !hostAllowed(headers.host, request.socket.localAddress, names)) {
    return { status: 403, error: "this Host is not served; allow it with --http-host" };
  }
  if (crossesOrigins(request)) return { status: 403, error: "requests across origins are refused" };
  return undefined;
}

function hostAllowed(header: string, localAddress: string | undefined, names: ReadonlySet<string>): boolean {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{1,5})?$/i.exec(header);
  const host = (match?.[1] ?? match?.[2])?.toLowerCase();
  if (host === undefined) return false;
  // An address as Host cannot be forged by whoever owns a name; still only the one that was connected to counts.
  return isLoopback(host) || names.has(host) || (isIP(host) !== 0 && host === localAddress?.replace(/^::ffff:/, ""));
}

function crossesOrigins({ method, headers }: Checked): boolean {
  const { host, origin } = headers;
  if (origin !== undefined && origin.toLowerCase() !== `http://${host?.toLowerCase()}`) return true;
  const site = headers["sec-fetch-site"];
  // A link to here from elsewhere is harmless: its page does not see the answer. A form is none.
  const navigates = headers["sec-fetch-mode"] === "navigate" && method === "GET";
  return site !== undefined && site !== "same-origin" && site !== "none" && !navigates;
}
