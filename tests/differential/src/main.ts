import { startEtcd } from "./etcd-process.ts";
import type { EmptyPair } from "./empty-pair.ts";
import { runExpiry } from "./expiry.ts";
import { Generator, type RunKind } from "./generator.ts";
import { headOf, type Operation, scriptText } from "./operation.ts";
import { type Mismatch, runOnBoth, type RunResult, type Source, sourceOf } from "./run-on-both.ts";
import { type ServerKind, Servers } from "./servers.ts";
import { shrink } from "./shrink.ts";

/** What a comparison is asked to do. */
export interface DifferentialOptions {
  /** The program of the real etcd. */
  readonly etcd: string;
  readonly seed: number;
  /** When to stop: after so many operations, or so much time. */
  readonly operations: number;
  readonly minutes: number;
  /** Whether leases run out beside all the rest, which takes some seconds at least. */
  readonly withExpiries: boolean;
  /** A script to take instead of chance, and the servers it is for. */
  readonly script?: readonly Operation[];
  readonly servers?: ServerKind;
  /** Takes progress, for people. */
  readonly tell: (line: string) => void;
}

/** What a comparison came to. */
export interface Report {
  readonly seed: number;
  operations: number;
  /** How many of each kind. */
  readonly calls: Record<string, number>;
  /** How often each known difference was seen. */
  readonly known: Record<string, number>;
  /** How many leases were seen to run out. */
  expiries: number;
  differences: number;
  /** What shows the difference, as `--replay` takes it. */
  script?: string;
}

/** After so many operations both servers start empty again, with a seed of its own. */
const operationsPerRun = 500;
/** What the runs are about, one after another and then again from the first. */
const runs: readonly RunKind[] = ["keys", "upkeep", "keys", "auth", "elections", "jwt"];
const shownLines = 40;
const shrinking = { attempts: 1000, limitMs: 60_000 };
const progressMs = 5000;

/** Compares until the limit, or the first difference that nothing explains. */
export async function runDifferential(options: DifferentialOptions): Promise<Report> {
  const report: Report = { seed: options.seed, operations: 0, calls: {}, known: {}, expiries: 0, differences: 0 };
  const servers = new Servers(options.etcd);
  const started = performance.now();
  const seconds = (): number => (performance.now() - started) / 1000;
  const progress = setInterval(() => {
    options.tell(`${seconds().toFixed(0)} s: ${report.operations} operations, ${report.differences} differences`);
  }, progressMs);
  let isOver = false;
  const expiries = options.withExpiries ? watchExpiries(options, report, () => isOver) : undefined;
  try {
    for (let run = 0; report.operations < options.operations && seconds() < options.minutes * 60; run++) {
      const most = Math.min(operationsPerRun, options.operations - report.operations);
      const isFull = (count: number): boolean => count >= most || seconds() >= options.minutes * 60;
      const kind = runs[run % runs.length] ?? "keys";
      const on = options.servers ?? serversOf(kind);
      const start = (): Promise<EmptyPair> => servers.start(on);
      const source = sourceFor(options, { kind, run, isFull });
      const result = await runOnBoth(start, source);
      add(report, result);
      if (result.mismatch !== undefined) {
        report.differences++;
        report.script = `${headOf(on)}${await explain(start, result, result.mismatch, options)}`;
        break;
      }
      if (options.script !== undefined) break;
    }
    isOver = true;
    await expiries;
    return report;
  } catch (error) {
    const lastWords = await servers.lastWords();
    throw lastWords === undefined ? error : new Error(`etcd ended:\n${lastWords}`, { cause: error });
  } finally {
    isOver = true;
    clearInterval(progress);
    await Promise.allSettled([servers.stop(), expiries]);
  }
}

/** Lets leases run out on a pair of servers of their own, which takes time, beside all the rest. */
async function watchExpiries(
  { etcd: binary, seed, tell }: DifferentialOptions,
  report: Report,
  isOver: () => boolean,
): Promise<void> {
  const etcd = await startEtcd(binary);
  try {
    for (let round = 0; !isOver(); round++) {
      const { leases, problems } = await runExpiry(etcd.endpoint, seed * 1_000_003 + round);
      report.expiries += leases;
      report.differences += problems.length;
      for (const problem of problems) tell(`\nleases that run out, round ${round + 1}: ${problem}`);
      if (problems.length > 0) return;
    }
  } finally {
    await etcd.stop();
  }
}

function serversOf(kind: RunKind): ServerKind {
  if (kind === "upkeep") return "fresh";
  return kind === "jwt" ? "jwt" : "emptied";
}

interface RunPlan {
  readonly kind: RunKind;
  readonly run: number;
  readonly isFull: (count: number) => boolean;
}

function sourceFor({ script, seed }: DifferentialOptions, { kind, run, isFull }: RunPlan): Source {
  if (script !== undefined) return sourceOf(script);
  const generator = new Generator(seed * 1_000_003 + run, kind);
  let count = 0;
  return {
    next: () => (isFull(count++) ? undefined : generator.next()),
    learn: (operation, answer) => generator.learn(operation, answer),
  };
}

function add(report: Report, { operations, known }: RunResult): void {
  report.operations += operations.length;
  for (const operation of operations) {
    const name = nameOf(operation);
    report.calls[name] = (report.calls[name] ?? 0) + 1;
  }
  for (const [name, count] of known) report.known[name] = (report.known[name] ?? 0) + count;
}

function nameOf(operation: Operation): string {
  if ("call" in operation) return operation.call;
  if ("first" in operation) return operation.first;
  if ("sign" in operation) return "sign";
  if ("end" in operation || "cancel" in operation) return Object.keys(operation)[0] ?? "";
  if ("watchOnce" in operation) return "Watch.once";
  if ("watch" in operation) return `Watch.${Object.keys(operation.watch)[0] ?? "nothing"}`;
  if ("keepAlive" in operation) return "Lease.LeaseKeepAlive";
  return "close" in operation ? "Watch.close" : "settle";
}

/** Finds a short script that shows the same difference, and tells it. */
async function explain(
  start: () => Promise<EmptyPair>,
  { operations }: RunResult,
  mismatch: Mismatch,
  { script, tell }: DifferentialOptions,
): Promise<string> {
  tellMismatch(mismatch, tell);
  const signature = signatureOf(mismatch);
  let last = mismatch;
  const shows = async (candidate: readonly Operation[]): Promise<boolean> => {
    // A script that makes no sense any more shows nothing.
    const { mismatch: found } = await runOnBoth(start, sourceOf(candidate)).catch(() => ({ mismatch: undefined }));
    if (found === undefined || signatureOf(found) !== signature) return false;
    last = found;
    return true;
  };
  const short = script === undefined ? await shrink(operations, shows, shrinking) : operations;
  const repeats = await shows(short);
  tell(
    `\n${short.length} operations show it${repeats ? "" : " (not when they were repeated: time has a part in it)"}:`,
  );
  const lines = scriptText(short).trimEnd().split("\n");
  tell(lines.slice(-shownLines).join("\n"));
  if (repeats) tellMismatch(last, tell);
  return scriptText(short);
}

function tellMismatch({ index, operation, differences }: Mismatch, tell: (line: string) => void): void {
  tell(`\noperation ${index + 1} has two answers: ${JSON.stringify(operation)}`);
  for (const { path, embed, etcd } of differences.slice(0, 10)) {
    tell(`  ${path}\n    embed: ${JSON.stringify(embed)}\n    etcd:  ${JSON.stringify(etcd)}`);
  }
}

/** The same for differences of one kind: which kind of step, and where in its answer. */
function signatureOf({ operation, differences }: Mismatch): string {
  const [first] = differences;
  const isWatch = !("on" in operation);
  // Which step finds out what a watch got, and on which stream, is of no importance.
  const where = (first?.path ?? "").replace(/\d+/g, "N").replace(/^(N\.)?stream/, "stream");
  if (isWatch) return where;
  const said = differences.find(({ path }) => path === "message")?.etcd;
  return `${nameOf(operation)} ${where} ${JSON.stringify(said)}`;
}
