// The benchmark: each question is a program of its own, and all peers answer it in turns on the same etcd.
import { cpus, loadavg, release, totalmem } from "node:os";
import { campaign, fromNothing } from "./campaign.ts";
import { failover } from "./failover.ts";
import { handOver, handOverInside } from "./hand-over.ts";
import { linkItself } from "./link.ts";
import { manyCandidates } from "./many-candidates.ts";
import { manyElections } from "./many-elections.ts";
import { manyObservers } from "./many-observers.ts";
import { observe } from "./observe.ts";
import { proclaim } from "./proclaim.ts";
import { startUp } from "./start-up.ts";
import { type LimitResult, limitsOf } from "./support/limits.ts";
import { Measurements, type Row } from "./support/rows.ts";
import { firstLine, type Question, Stage } from "./support/stage.ts";
import { transport } from "./transport.ts";

export { growthPlotOf } from "./support/growth-plot.ts";
export { plotOf } from "./support/plot.ts";
export { reportOf } from "./support/report.ts";

/** All questions. */
export const questions: readonly Question[] = [
  linkItself,
  campaign,
  fromNothing,
  handOver,
  handOverInside,
  observe,
  proclaim,
  failover,
  manyElections,
  manyCandidates,
  manyObservers,
  startUp,
  transport,
];

/** What to measure, and with what. */
export interface BenchSettings {
  readonly etcd: string;
  /** etcd's version, for the report. */
  readonly version: string;
  /** The Go program. */
  readonly goPeer: string;
  readonly rounds: number;
  /** Leaves out the greatest numbers and the longest outages. */
  readonly quick: boolean;
  /** Added round trips to etcd. */
  readonly rttsMs: readonly number[];
  /** Names of questions; all by default. */
  readonly only?: readonly string[];
  /** Ends everything early; what was measured until then is returned. */
  readonly signal: AbortSignal;
  readonly tell: (line: string) => void;
}

/** All that came out, and where. */
export interface BenchReport {
  readonly machine: string;
  readonly node: string;
  readonly etcd: string;
  readonly rounds: number;
  readonly durationMs: number;
  /** How many processes wanted a CPU on average in the minute before the start: what else ran here disturbs. */
  readonly loadBefore: number;
  /** Whether it was ended early. */
  readonly stopped: boolean;
  /** Questions that broke off, and why; what they had measured until then is among the rows. */
  readonly failures: readonly string[];
  /** What would have taken too long. */
  readonly leftOut: readonly string[];
  /** What Tenure's numbers have to be at most, as far as they were measured. */
  readonly limits: readonly LimitResult[];
  readonly rows: readonly Row[];
}

/** Asks one question after the other. Whatever ends it, nothing that it started is left. */
export async function runBench(settings: BenchSettings): Promise<BenchReport> {
  const { signal, tell, rounds } = settings;
  const startedAt = performance.now();
  const [loadBefore = 0] = loadavg();
  const measurements = new Measurements();
  const failures: string[] = [];
  const leftOut: string[] = [];
  const fail = (what: string): void => {
    failures.push(what);
    tell(`error: ${what}`);
  };
  const leaveOut = (what: string): void => {
    leftOut.push(what);
    tell(`left out: ${what}`);
  };
  for (const question of questions.filter(({ name }) => settings.only?.includes(name) ?? true)) {
    for (const rttMs of question.overLinks ? settings.rttsMs : [0]) {
      if (signal.aborted) break;
      try {
        await using stage = await Stage.open({ ...settings, rttMs, measurements, leaveOut, fail });
        await question.measure(stage);
        tell(`${question.name}${rttMs > 0 ? ` (+${rttMs} ms)` : ""}: done after ${seconds(startedAt)} s`);
      } catch (error) {
        if (signal.aborted) tell("stopped");
        else fail(`${question.name}, +${rttMs} ms: ${firstLine(error)}`);
      }
    }
  }
  const [cpu] = cpus();
  return {
    machine: `${cpus().length} × ${cpu?.model ?? "?"}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}`,
    node: process.version,
    etcd: settings.version,
    rounds,
    durationMs: Math.round(performance.now() - startedAt),
    loadBefore,
    stopped: signal.aborted,
    failures,
    leftOut,
    limits: limitsOf(measurements.rows),
    rows: measurements.rows,
  };
}

function seconds(since: number): string {
  return ((performance.now() - since) / 1_000).toFixed(0);
}
