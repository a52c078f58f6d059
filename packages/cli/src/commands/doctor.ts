import { resolveSrvEndpoints } from "@tenure/etcd";
import type { ConnectOptions } from "tenure";
import { examine } from "../doctor/examine.ts";
import { reportText } from "../doctor/report.ts";
import { CommandError, ExitCode } from "../exit-codes.ts";
import { note, printJson, printLine } from "../output.ts";
import type { Settings } from "../settings.ts";
import { listenForStop } from "../stopping.ts";

/** The flags of `tenure doctor`. */
export interface DoctorFlags {
  readonly duration: string;
  readonly readOnly?: boolean;
}

const DEFAULT_TIMEOUT_MS = 5000;
const MAX_DURATION_SECONDS = 3600;

/** `tenure doctor`: what the store is like, and what failover time to expect of it. */
export async function doctor(flags: DoctorFlags, settings: Settings): Promise<number> {
  const durationMs = durationOf(flags.duration) * 1000;
  const { ttlMs, timeoutMs = DEFAULT_TIMEOUT_MS } = settings;
  const readOnly = flags.readOnly === true;
  const connect = await withEndpoints(settings.connect());
  using stopping = listenForStop();
  if (process.stderr.isTTY) {
    const writes = readOnly ? "writing nothing" : "with small writes on a lease that is revoked at the end";
    note(`measures for ${durationMs / 1000} s, ${writes}; Ctrl-C ends it`);
  }
  const { signal } = stopping;
  const { report, exitCode } = await examine({ connect, ttlMs, durationMs, timeoutMs, readOnly, signal });
  if (stopping.exitCode !== undefined) return stopping.exitCode;
  if (settings.output === "table") printLine(reportText(report));
  else printJson(report);
  return exitCode;
}

/** Each endpoint is examined by itself, so all of them must be known, and none may lead to another. */
async function withEndpoints({ discoverySrv, discoverMembers: _, ...rest }: ConnectOptions): Promise<ConnectOptions> {
  if (discoverySrv === undefined) return rest;
  return { ...rest, endpoints: await resolveSrvEndpoints(discoverySrv, rest.tls !== undefined) };
}

function durationOf(text: string): number {
  const seconds = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && seconds > 0 && seconds <= MAX_DURATION_SECONDS) return seconds;
  throw new CommandError(
    ExitCode.usage,
    `--duration: ${JSON.stringify(text)} is not a number of seconds above 0, up to ${MAX_DURATION_SECONDS}`,
  );
}
