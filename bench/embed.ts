// How fast the embedded etcd is, and what it takes, beside a real etcd under the same load. Both run in processes of
// their own and take turns; the load comes from a third process, which does as little as can be.
import { cpus, loadavg } from "node:os";
import { fileURLToPath } from "node:url";
import { killed, launch } from "../tests/support/children.ts";
import { settled } from "../tests/support/until.ts";
import type { Load, Measure, ServerName } from "./embed/protocol.ts";
import { Measurements, type Row } from "./embed/rows.ts";
import { firstLine, logOf, type Server, startServer } from "./embed/servers.ts";
import { startDev, startInProcess, startRealEtcd } from "./embed/start-up.ts";

export { tablesOf } from "./embed/rows.ts";
export type { Row } from "./embed/rows.ts";

/** What to measure. */
export interface EmbedBenchSettings {
  readonly etcd: string;
  /** etcd's version, for the report. */
  readonly version: string;
  /** How often each question is asked; what takes long comes less often. */
  readonly rounds: number;
  /** Names of questions; all by default. */
  readonly only?: readonly string[];
  /** Leaves out the sizes above 10,000 keys, and measures for a fifth of the time: to try it out. */
  readonly quick?: boolean;
  /** Ends everything early. */
  readonly signal: AbortSignal;
  readonly tell: (line: string) => void;
}

/** All that came out, and where. */
export interface EmbedBenchReport {
  readonly machine: string;
  readonly node: string;
  readonly etcd: string;
  readonly rounds: number;
  readonly durationMs: number;
  /** How many processes wanted a CPU on average in the minute before the start: what else ran here disturbs. */
  readonly loadBefore: number;
  /** Questions that broke off, and why. */
  readonly failures: readonly string[];
  readonly rows: readonly Row[];
}

/** A load as a question words it, for any server. */
type Ordered = Load extends infer L ? (L extends Load ? Omit<L, "endpoint" | "pid"> : never) : never;

interface Question {
  readonly name: string;
  readonly measure: (bench: Bench) => Promise<void>;
}

const program = fileURLToPath(new URL("./embed/load.js", import.meta.url));
const loadTimeoutMs = 240_000;
const valueBytes = 100;
const sizes = [1_000, 10_000, 100_000];
const quickSize = 10_000;

/** All questions. */
export const questions: readonly Question[] = [
  {
    name: "puts",
    measure: (bench) => bench.alternate("puts in memory", ["etcd, no fsync", "embed", "floor"], [bench.puts]),
  },
  {
    name: "durable",
    measure: (bench) => bench.alternate("puts to disk", ["etcd, fsync", "embed, durable"], [bench.puts]),
  },
  {
    name: "fan-out",
    measure: (bench) => bench.alternate("fan-out", ["etcd, no fsync", "embed"], bench.fanOut),
  },
  {
    name: "keys",
    measure: (bench) => bench.once("keys", ["etcd, no fsync", "embed"], bench.fill),
  },
  {
    name: "leases",
    measure: (bench) => bench.once("leases", ["etcd, no fsync", "embed"], [bench.leases]),
  },
  {
    name: "start",
    measure: (bench) => bench.start(),
  },
];

/** Asks one question after the other. Whatever ends it, nothing that it started is left. */
export async function runEmbedBench(settings: EmbedBenchSettings): Promise<EmbedBenchReport> {
  const startedAt = performance.now();
  const [loadBefore = 0] = loadavg();
  const bench = new Bench(settings);
  const failures: string[] = [];
  for (const { name, measure } of questions.filter((each) => settings.only?.includes(each.name) ?? true)) {
    try {
      await measure(bench);
    } catch (error) {
      if (settings.signal.aborted) throw new Error("ended early", { cause: error });
      failures.push(`${name}: ${String(error)}`);
      settings.tell(`error: ${name}: ${String(error)}`);
    }
  }
  const [cpu] = cpus();
  return {
    machine: `${cpus().length} × ${cpu?.model ?? "?"}`,
    node: process.version,
    etcd: settings.version,
    rounds: settings.rounds,
    durationMs: Math.round(performance.now() - startedAt),
    loadBefore,
    failures,
    rows: bench.measurements.rows,
  };
}

class Bench {
  readonly measurements: Measurements = new Measurements();
  readonly #settings: EmbedBenchSettings;
  /** How many times shorter everything is. */
  readonly #pace: number;

  constructor(settings: EmbedBenchSettings) {
    this.#settings = settings;
    this.#pace = settings.quick === true ? 5 : 1;
  }

  get puts(): Ordered {
    const [warmUpMs, measureMs] = [1_000 / this.#pace, 3_000 / this.#pace];
    return { do: "puts", valueBytes, inFlight: 64, warmUpMs, measureMs };
  }

  get fanOut(): readonly Ordered[] {
    const of = { do: "fan-out", watches: 1_000, events: Math.round(100 / this.#pace) } as const;
    return [
      { ...of, streams: 1 },
      { ...of, streams: of.watches },
    ];
  }

  get fill(): readonly Ordered[] {
    const own = this.#settings.quick === true ? sizes.filter((size) => size <= quickSize) : sizes;
    return own.map((to, index) => ({ do: "fill", from: own[index - 1] ?? 0, to, valueBytes }));
  }

  get leases(): Ordered {
    return { do: "leases", leases: 10_000, ttlSeconds: 30, measureMs: 10_000 / this.#pace };
  }

  /** All loads on all servers, which run all the time, in turns: each round another server first. */
  async alternate(question: string, names: readonly ServerName[], loads: readonly Ordered[]): Promise<void> {
    const servers: Server[] = [];
    try {
      for (const name of names) servers.push(await startServer(name, this.#settings.etcd));
      for (let round = 0; round < this.#settings.rounds; round++) {
        for (let turn = 0; turn < servers.length; turn++) {
          const server = servers[(turn + round) % servers.length];
          if (server !== undefined) for (const load of loads) await this.#run(question, server, load);
        }
        this.#settings.tell(`${question}: round ${round + 1} of ${this.#settings.rounds}`);
      }
    } finally {
      await Promise.all(servers.map((server) => server.stop()));
    }
  }

  /** One server after the other, for what takes much memory or time. */
  async once(question: string, names: readonly ServerName[], loads: readonly Ordered[]): Promise<void> {
    for (const name of names) {
      const server = await startServer(name, this.#settings.etcd);
      try {
        for (const load of loads) {
          await this.#run(question, server, load);
          this.#settings.tell(`${question}: ${name}: ${JSON.stringify(load)}`);
        }
      } finally {
        await server.stop();
      }
    }
  }

  async start(): Promise<void> {
    await startInProcess(); // now it has done it before
    for (let round = 0; round < this.#settings.rounds; round++) {
      this.#settings.signal.throwIfAborted();
      this.measurements.add("start", "embed", await startInProcess());
      this.measurements.add("start", "embed", await startDev());
      this.measurements.add("start", "etcd, no fsync", await startRealEtcd(this.#settings.etcd));
      this.#settings.tell(`start: round ${round + 1} of ${this.#settings.rounds}`);
    }
  }

  async #run(question: string, { name, endpoint, pid }: Server, ordered: Ordered): Promise<void> {
    const { signal } = this.#settings;
    signal.throwIfAborted();
    const load = { ...ordered, endpoint, pid };
    const child = launch(process.execPath, [program, JSON.stringify(load)], { env: process.env });
    const log = logOf(child);
    const onAbort = (): void => void child.kill("SIGKILL");
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      const line = await settled(firstLine(child), { what: `end of ${load.do}`, timeoutMs: loadTimeoutMs });
      this.measurements.add(question, name, JSON.parse(line) as Measure[]);
    } catch (error) {
      throw new Error(`${name}: ${String(error)} ${log.text}`, { cause: error });
    } finally {
      signal.removeEventListener("abort", onAbort);
      await killed(child);
    }
  }
}
