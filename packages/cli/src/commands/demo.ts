import { startEmbed } from "@tenure/embed";
import { connect, type ConnectOptions } from "tenure";
import { runDemo } from "../demo/run-demo.ts";
import { jsonReport, lineReport, type Report } from "../demo/report.ts";
import { pictureReport } from "../demo/picture.ts";
import { CommandError, ExitCode } from "../exit-codes.ts";
import type { Settings } from "../settings.ts";
import { listenForStop, unlessStopped } from "../stopping.ts";

/** The flags of `tenure demo`. */
export interface DemoFlags {
  readonly nodes: string;
  readonly failovers?: string;
  readonly json?: boolean;
}

/** Short, so that a crash is seen to be taken over while one watches; etcd keeps no shorter lease. */
const TTL_MS = 2000;
const DEFAULT_FAILOVERS = 3;
const MAX_NODES = 9;
const MAX_FAILOVERS = 1_000_000;

/** `tenure demo`: real processes, a leader that is ended again and again, and what each failover took. */
export async function demo(flags: DemoFlags, settings: Settings): Promise<number> {
  const nodes = wholeNumber("--nodes", flags.nodes, 2, MAX_NODES);
  const json = flags.json === true || settings.output !== "table";
  const picture = process.stdout.isTTY && !json;
  const failovers =
    flags.failovers === undefined
      ? picture
        ? Number.POSITIVE_INFINITY
        : DEFAULT_FAILOVERS
      : wholeNumber("--failovers", flags.failovers, 1, MAX_FAILOVERS);
  using stopping = listenForStop();
  // Endpoints that stand in the environment are a store in use: the demo goes there only when told to.
  await using embedded = settings.storeNamed ? undefined : await startEmbed();
  // What the environment says of users and certificates is meant for another store than the embedded one.
  const options = embedded === undefined ? settings.connect() : { endpoints: [embedded.endpoint] };
  await using client = connect(options);
  await unlessStopped(stopping, client.ready({ signal: stopping.signal }));
  if (stopping.exitCode !== undefined) return stopping.exitCode;
  const store = embedded === undefined ? `etcd at ${placeOf(options)}` : "embedded etcd, in this process";
  const report: Report = json ? jsonReport() : picture ? pictureReport() : lineReport();
  await runDemo({
    client,
    connect: options,
    store,
    nodes,
    failovers,
    ttlMs: TTL_MS,
    report,
    signal: stopping.signal,
  });
  return ExitCode.ok;
}

function placeOf({ endpoints = [], discoverySrv }: ConnectOptions): string {
  return discoverySrv === undefined ? endpoints.join(", ") : `the endpoints that ${discoverySrv.domain} names`;
}

function wholeNumber(flag: string, text: string, min: number, max: number): number {
  const number = Number(text);
  if (/^\d+$/.test(text) && number >= min && number <= max) return number;
  throw new CommandError(
    ExitCode.usage,
    `${flag}: ${JSON.stringify(text)} is not a whole number from ${min} to ${max}`,
  );
}
