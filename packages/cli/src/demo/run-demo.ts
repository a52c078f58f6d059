import { systemClock, systemRandom } from "@tenure/etcd/runtime";
import type { Client, ConnectOptions } from "tenure";
import { CommandError, ExitCode } from "../exit-codes.ts";
import { NodeProcess } from "./node-process.ts";
import { type NodeMessage, nowNs, type StartMessage } from "./protocol.ts";
import { type Failover, type Kind, KINDS, type NodeView, type Report } from "./report.ts";

/** What one run of the demo needs. */
export interface DemoOptions {
  readonly client: Client;
  readonly connect: ConnectOptions;
  readonly store: string;
  readonly nodes: number;
  /** Ends after so many; Infinity for never. */
  readonly failovers: number;
  readonly ttlMs: number;
  readonly report: Report;
  readonly signal: AbortSignal;
}

const UNIT_MS = 500;
/** Units of work a leader does before it is ended. */
const UNITS: Readonly<Record<Kind, number>> = { resign: 5, sigterm: 3, sigkill: 2 };
/** Milliseconds after which something is wrong: every failover takes less than this and a TTL. */
const STALL_MS = 15_000;
const REFRESH_MS = 100;
const END_LIMIT_MS = 3000;

/** Runs the demo to its end, or until the signal aborts. Leaves no process behind. */
export async function runDemo(options: DemoOptions): Promise<void> {
  const demo = new Demo(options);
  try {
    await demo.run();
  } finally {
    await demo.end();
  }
}

/** One slot of the demo: a name, and the process that bears it now. */
interface Slot {
  readonly name: string;
  process: NodeProcess | undefined;
  role: "standing" | "leading" | "ended";
  token: string | undefined;
  unit: number;
}

class Demo {
  readonly #options: DemoOptions;
  readonly #election: string;
  readonly #slots: readonly Slot[];
  readonly #failovers: Failover[] = [];
  /** Set from the end of a leader to the next election. */
  #ending: { readonly kind: Kind; readonly from: string; readonly atNs: bigint } | undefined;
  #failure: CommandError | undefined;
  /** Units the present leader is to work. */
  #units: number = UNITS.resign;
  /** Values of the candidates in order of succession. */
  #queue: readonly string[] = [];
  #wake: () => void = () => undefined;

  constructor(options: DemoOptions) {
    this.#options = options;
    // A name of its own, so that two demos on one store do not mix.
    this.#election = `tenure-demo-${systemRandom.bits(24).toString(16).padStart(6, "0")}`;
    this.#slots = Array.from({ length: options.nodes }, (_, index) => ({
      name: `node-${index + 1}`,
      process: undefined,
      role: "ended",
      token: undefined,
      unit: 0,
    }));
  }

  async run(): Promise<void> {
    const { report, store, ttlMs, signal } = this.#options;
    const nodes = this.#slots.map((slot) => slot.name);
    report.begin({ election: this.#election, store, nodes, ttlMs });
    for (const slot of this.#slots) this.#start(slot);
    for (let count = 0; count < this.#options.failovers && !signal.aborted; count++) {
      await this.#oneFailover(KINDS[count % KINDS.length] ?? "resign");
    }
    report.end(this.#failovers);
  }

  async end(): Promise<void> {
    await Promise.all(this.#slots.map(async (slot) => slot.process?.end(END_LIMIT_MS)));
  }

  async #oneFailover(kind: Kind): Promise<void> {
    const done = this.#failovers.length + 1;
    // A standby must be in the queue before its leader ends, or we would measure its arrival instead.
    await this.#until("every process to stand for election", () => this.#allStanding());
    this.#units = UNITS[kind];
    await this.#until("the leader to work", () => (this.#leader()?.unit ?? 0) >= this.#units);
    this.#endLeader(kind);
    await this.#until("the next process to be elected", () => this.#failovers.length >= done);
  }

  #endLeader(kind: Kind): void {
    const leader = this.#leader();
    if (leader?.process === undefined) return;
    if (kind === "resign") {
      // Measured from the resign call, which the process reports.
      leader.process.resign();
      return;
    }
    this.#ending = { kind, from: leader.name, atNs: nowNs() };
    leader.process.signal(kind === "sigterm" ? "SIGTERM" : "SIGKILL");
    leader.role = "ended";
  }

  #start(slot: Slot): void {
    const { endpoints, discoverySrv, discoverMembers, namespace, tls, auth } = this.#options.connect;
    const start: StartMessage = {
      t: "start",
      connect: { endpoints, discoverySrv, discoverMembers, namespace, tls, auth },
      election: this.#election,
      value: slot.name,
      ttlMs: this.#options.ttlMs,
      unitMs: UNIT_MS,
    };
    slot.role = "standing";
    slot.unit = 0;
    slot.process = new NodeProcess(slot.name, start, (message) => this.#heard(slot, message));
    this.#options.report.tell(`${slot.name} started, process ${slot.process.pid}`);
  }

  #heard(slot: Slot, message: NodeMessage): void {
    switch (message.t) {
      case "elected":
        slot.role = "leading";
        slot.token = message.token;
        slot.unit = 0;
        this.#elected(slot, BigInt(message.atNs));
        break;
      case "worked":
        slot.unit = message.unit;
        break;
      case "resigning":
        slot.role = "standing";
        this.#ending = { kind: "resign", from: slot.name, atNs: BigInt(message.atNs) };
        break;
      case "lost":
        slot.role = "standing";
        this.#options.report.tell(`${slot.name} leads no more: ${message.reason}`);
        break;
      case "failed":
        this.#failure = new CommandError(ExitCode.internal, `${slot.name} failed: ${message.reason}`);
        break;
    }
    this.#wake();
  }

  #elected(slot: Slot, atNs: bigint): void {
    const ending = this.#ending;
    if (ending === undefined) {
      this.#options.report.tell(`${slot.name} leads, token ${slot.token ?? ""}`);
      return;
    }
    this.#ending = undefined;
    const failover: Failover = {
      election: this.#election,
      kind: ending.kind,
      from: ending.from,
      to: slot.name,
      token: slot.token ?? "",
      failoverMs: Math.round(Number(atNs - ending.atNs) / 1e5) / 10,
    };
    this.#failovers.push(failover);
    this.#options.report.failover(failover);
  }

  #leader(): Slot | undefined {
    return this.#slots.find((slot) => slot.role === "leading");
  }

  #allStanding(): boolean {
    return this.#leader() !== undefined && this.#slots.every((slot) => this.#queue.includes(slot.name));
  }

  /** Waits until a condition holds, looking at the store and refreshing the picture meanwhile. */
  async #until(what: string, condition: () => boolean): Promise<void> {
    const { client, report, signal, ttlMs } = this.#options;
    const deadline = systemClock.now() + ttlMs + STALL_MS;
    while (!signal.aborted && !condition()) {
      if (this.#failure !== undefined) throw this.#failure;
      this.#restartEnded();
      if (systemClock.now() > deadline) throw new CommandError(ExitCode.internal, `waited too long for ${what}`);
      const candidates = await client.election(this.#election).candidates();
      this.#queue = candidates.map((candidate) => candidate.value);
      report.update(this.#views());
      if (!condition()) await this.#sleep(REFRESH_MS);
    }
  }

  /** A process that was ended comes back, as a supervisor would bring it back, and stands at the end of the queue. */
  #restartEnded(): void {
    for (const slot of this.#slots) {
      if (slot.role === "ended" && this.#ending === undefined && slot.process?.running !== true) this.#start(slot);
    }
  }

  /** Until the next message of a node, or `limitMs`. */
  #sleep(limitMs: number): Promise<void> {
    const { signal } = this.#options;
    return new Promise((resolve) => {
      const finish = (): void => {
        cancel();
        signal.removeEventListener("abort", finish);
        resolve();
      };
      const cancel = systemClock.after(limitMs, finish);
      signal.addEventListener("abort", finish);
      this.#wake = finish;
    });
  }

  #views(): NodeView[] {
    const next = this.#queue.find((name) => this.#leader()?.name !== name);
    return this.#slots.map((slot) => ({
      name: slot.name,
      pid: slot.process?.running === true ? slot.process.pid : undefined,
      role: this.#roleOf(slot, next),
      token: slot.role === "leading" ? slot.token : undefined,
      unit: slot.unit,
      units: this.#units,
    }));
  }

  #roleOf(slot: Slot, next: string | undefined): NodeView["role"] {
    if (slot.role === "leading") return "leader";
    if (slot.role === "ended" || slot.process?.running !== true) return "ended";
    if (!this.#queue.includes(slot.name)) return "starting";
    return slot.name === next ? "next" : "standby";
  }
}
