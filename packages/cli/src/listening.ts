import { isIP } from "node:net";
import { CommandError, ExitCode } from "./exit-codes.ts";

/** Where to listen. */
export interface Address {
  /** An IP address without brackets, or a name. */
  readonly host: string;
  readonly port: number;
}

const MAX_PORT = 65_535;
const DEFAULT_HOST = "127.0.0.1";

/**
 * Reads PORT, :PORT or HOST:PORT, an IPv6 address in brackets. Without a host it is 127.0.0.1: whoever wants others to
 * reach it writes that out. Throws CommandError 64.
 */
export function parseAddress(flag: string, text: string): Address {
  const match = /^(?:(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))?:)?(\d+)$/i.exec(text);
  const host = match?.[1] ?? match?.[2] ?? DEFAULT_HOST;
  const port = Number(match?.[3]);
  const isAddress = match?.[1] === undefined ? !/^[\d.]+$/.test(host) || isIP(host) === 4 : isIP(host) === 6;
  if (match !== null && isAddress && port <= MAX_PORT) return { host: host.toLowerCase(), port };
  const hint = port > MAX_PORT ? `ports end at ${MAX_PORT}` : "such as 8008, 127.0.0.1:8008 or [::1]:8008";
  throw new CommandError(ExitCode.usage, `${flag}: ${JSON.stringify(text)} is no PORT or HOST:PORT, ${hint}`);
}

/** Whether only this machine reaches what listens on a host. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

/** A host and port as they stand in a URL. */
export function hostAndPort({ host, port }: Address): string {
  return `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
}

/** The error of a server that could not listen, in one line with exit code 73; any other error as it is. */
export function cannotListen(error: unknown, address: Address, flag: string): Error {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const why = {
    EADDRINUSE: `the port is in use: stop what listens there, or choose another with ${flag}`,
    EACCES: "permission denied: ports below 1024 need rights",
    EADDRNOTAVAIL: "this machine has no such address",
    ENOTFOUND: "the name cannot be resolved",
    EAI_AGAIN: "the name cannot be resolved",
  }[code];
  if (why === undefined) return error instanceof Error ? error : new Error(String(error));
  return new CommandError(ExitCode.cannotListen, `cannot listen on ${hostAndPort(address)}: ${why}`);
}
