import { EtcdClient } from "@tenure/etcd";
import { settled } from "../../tests/support/until.ts";
import type { PeerConfig } from "../peers/protocol.ts";
import type { StackConfig } from "../transport/protocol.ts";
import { Contestant } from "./contestant.ts";
import { type DelayedLink, startDelayedLink } from "./delayed.ts";
import type { Patience } from "./patience.ts";
import type { Growth, Measurements, Unit } from "./rows.ts";
import { startStore, type Store } from "./store.ts";

/** A peer, or a way to use one. */
export interface Variant {
  /** The name in the result. */
  readonly name: string;
  readonly peer: PeerConfig["peer"];
  readonly guard?: boolean;
  /** Whether all elections of a process use one session, where that is the question. */
  readonly shared?: boolean;
}

/** The four peers. */
export const tenure: Variant = { name: "tenure", peer: "tenure", shared: true };
export const go: Variant = { name: "go", peer: "go" };
export const etcd3: Variant = { name: "etcd3", peer: "etcd3" };
export const floor: Variant = { name: "floor", peer: "floor", shared: true };

/** One question of the benchmark. */
export interface Question {
  /** For `--only`. */
  readonly name: string;
  /** Whether the distance to etcd matters. */
  readonly overLinks: boolean;
  readonly measure: (stage: Stage) => Promise<void>;
}

/** What the programs on a stage are. */
export interface StageSettings {
  readonly etcd: string;
  readonly goPeer: string;
  readonly rttMs: number;
  readonly rounds: number;
  /** Fewer sizes and rounds, where a question has many. */
  readonly quick: boolean;
  readonly measurements: Measurements;
  readonly signal: AbortSignal;
  readonly tell: (line: string) => void;
  /** Takes down what is not measured, and why. */
  readonly leaveOut: (what: string) => void;
  /** Takes down what went wrong. */
  readonly fail: (what: string) => void;
}

/** What is wrong, in a line. */
export function firstLine(error: unknown): string {
  return String(error).split("\n", 1)[0] ?? "";
}

const ttlSeconds = 60;
const keysTimeoutMs = 60_000;

/** An etcd for one question, at a distance, and the processes that elect there. */
export class Stage implements AsyncDisposable {
  readonly store: Store;
  readonly settings: StageSettings;
  readonly #link: DelayedLink | undefined;
  readonly #onlooker: EtcdClient;
  readonly #contestants: Contestant[] = [];
  readonly #leaving = new AbortController();
  readonly #onAbort = (): void => void this.dismiss(this.#contestants);
  #names = 0;

  private constructor(settings: StageSettings, store: Store, link: DelayedLink | undefined) {
    this.settings = settings;
    this.store = store;
    this.#link = link;
    this.#onlooker = new EtcdClient({ endpoints: [store.endpoint] });
    settings.signal.addEventListener("abort", this.#onAbort, { once: true });
  }

  static async open(settings: StageSettings): Promise<Stage> {
    settings.signal.throwIfAborted();
    const store = await startStore(settings.etcd);
    const link = settings.rttMs === 0 ? undefined : await startDelayedLink(store.endpoint, settings.rttMs);
    return new Stage(settings, store, link);
  }

  get rounds(): number {
    return this.settings.rounds;
  }

  /** A share of the rounds, for what takes long; over links half of that again. */
  fewer(divisor: number): number {
    return Math.max(1, Math.round(this.rounds / divisor / (this.rttMs === 0 ? 1 : 2)));
  }

  /** Whether less is asked, so that it takes minutes less. */
  get quick(): boolean {
    return this.settings.quick;
  }

  get rttMs(): number {
    return this.settings.rttMs;
  }

  /** Where the contestants find etcd. */
  get endpoint(): string {
    return this.#link?.endpoint ?? this.store.endpoint;
  }

  /** Starts a process of a peer, far from etcd. */
  start(variant: Variant, config: Partial<PeerConfig> = {}): Contestant {
    this.settings.signal.throwIfAborted();
    const { name, peer, guard = false } = variant;
    const { endpoint } = this;
    const contestant = new Contestant(name, { peer, guard, endpoint, ttlSeconds, ...config }, this.settings.goPeer);
    this.#contestants.push(contestant);
    return contestant;
  }

  /** Starts a process that calls etcd by a gRPC stack. */
  startStack(name: string, config: StackConfig): Contestant {
    this.settings.signal.throwIfAborted();
    const contestant = new Contestant(name, config, this.settings.goPeer);
    this.#contestants.push(contestant);
    return contestant;
  }

  async dismiss(contestants: readonly Contestant[]): Promise<void> {
    await Promise.all(contestants.map((each) => each.kill()));
  }

  /** A name that no other election has; npm etcd3 can take no other beginning. */
  newElection(): string {
    return `election/${++this.#names}`;
  }

  /** @param growth where the values stand on the chart of what grows with a number */
  record(question: string, variant: Variant, unit: Unit, values: readonly number[], growth?: Growth): void {
    this.settings.measurements.add({ question, peer: variant.name, rttMs: this.rttMs, unit, growth }, values);
  }

  tell(line: string): void {
    const link = this.rttMs > 0 ? ` (+${this.rttMs} ms)` : "";
    this.settings.tell(`${line}${link}`);
  }

  /** Those of all variants whose next turn does not take too long; says who is left out. */
  patient(patience: Patience, all: readonly Variant[], what: string): Map<Variant, Variant> {
    for (const variant of all) {
      if (!patience.has(variant)) this.settings.leaveOut(`${what}: ${variant.name} would take more than a minute`);
    }
    return new Map(all.filter((variant) => patience.has(variant)).map((variant) => [variant, variant]));
  }

  /** Every variant's turn, once a round, another one first each time. One that fails has no more turns. */
  async alternate<T>(
    what: string,
    contestants: ReadonlyMap<Variant, T>,
    rounds: number,
    turn: (variant: Variant, of: T, round: number) => Promise<void>,
  ): Promise<void> {
    let all = [...contestants];
    for (let round = 0; round < rounds; round++) {
      const took: string[] = [];
      const failed = new Set<Variant>();
      for (let index = 0; index < all.length; index++) {
        this.settings.signal.throwIfAborted();
        const next = all[(index + round) % all.length];
        if (next === undefined) continue;
        const startedAt = performance.now();
        try {
          await turn(next[0], next[1], round);
        } catch (error) {
          this.settings.signal.throwIfAborted();
          this.settings.fail(`${what}: ${next[0].name}: ${firstLine(error)}`);
          failed.add(next[0]);
        }
        took.push(`${next[0].name} ${((performance.now() - startedAt) / 1_000).toFixed(1)} s`);
      }
      all = all.filter(([variant]) => !failed.has(variant));
      if (rounds <= 10 || (round + 1) % 10 === 0) {
        this.tell(`${what}: round ${round + 1} of ${rounds} (${took.join(", ")})`);
      }
    }
  }

  /** Waits until so many candidates stand; by a watch next to etcd, so it is known at once. */
  async candidates(election: string, count: number): Promise<void> {
    const keys = new Set<string>();
    const leaving = new AbortController();
    const signal = AbortSignal.any([leaving.signal, this.#leaving.signal]);
    const prefix = `${election}/`;
    const look = async (): Promise<void> => {
      for await (const message of this.#onlooker.watch.watch({ prefix }, { signal })) {
        if (message.t === "created") {
          for (const { key } of (await this.#onlooker.kv.range({ prefix })).kvs) keys.add(Buffer.from(key).toString());
        } else if (message.t === "events") {
          for (const { kv, type } of message.events) {
            const key = Buffer.from(kv?.key ?? []).toString();
            if (type === 0) keys.add(key);
            else keys.delete(key);
          }
        }
        if (keys.size === count) return;
      }
    };
    try {
      await settled(look(), { what: `${count} candidates`, timeoutMs: keysTimeoutMs });
    } finally {
      leaving.abort();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.settings.signal.removeEventListener("abort", this.#onAbort);
    this.#leaving.abort();
    await this.dismiss(this.#contestants);
    await this.#onlooker.close();
    await this.#link?.stop();
    await this.store.stop();
  }
}
