import { now } from "./clock.ts";
import { until } from "../../support/until.ts";
import type { Cluster } from "./cluster.ts";
import { base64 } from "./gateway.ts";

const everyMs = 200;
const timeoutMs = 500;
/** Between two answers this is nothing. */
const unnoticedMs = 3 * everyMs;
const silentMaxMs = 30_000;
/** Longer than any run. */
const ttlSeconds = 7 * 24 * 3600;

// Agreed on like any write, but the key was never there: it takes no space.
const write = { key: base64("pulse") };

/**
 * Renews a lease of its own and writes all the time, each through whichever member answers, to know when nobody could
 * have renewed a lease. A member passes a keep-alive on to etcd's leader by another way than a write; and a leader that
 * is cut off from the others still renews leases for a while, which helps only those who can reach it.
 */
export class Pulse {
  readonly #cluster: Cluster;
  readonly #answers: number[] = [];
  readonly #lease: string;
  readonly #timer: NodeJS.Timeout;

  private constructor(cluster: Cluster, lease: string) {
    this.#cluster = cluster;
    this.#lease = lease;
    this.#timer = setInterval(() => void this.#beat(), everyMs);
  }

  static async start(cluster: Cluster): Promise<Pulse> {
    const { ID } = (await cluster.call("lease/grant", { TTL: ttlSeconds })) as { readonly ID: string };
    return new Pulse(cluster, ID);
  }

  /** The longest time without an answer, from one instant on. */
  longestSilenceMs(since: number): number {
    const answers = this.#answers.filter((at) => at >= since);
    const before = this.#answers.findLast((at) => at < since) ?? since;
    return Math.max(...[...answers, now()].map((at, index) => at - (answers[index - 1] ?? before)));
  }

  /** How much of the time since an instant went by without an answer: nobody could do anything with etcd then. */
  silentMs(since: number): number {
    const times = [since, ...this.#answers.filter((at) => at >= since), now()];
    const gaps = times.map((at, index) => at - (times[index - 1] ?? since));
    return gaps.filter((gap) => gap > unnoticedMs).reduce((sum, gap) => sum + gap, 0);
  }

  /**
   * Waits for something, for so long as etcd can be used. What etcd's own silence takes away comes on top, up to a
   * limit, so that a busy machine is not taken for a broken promise.
   */
  async awaited<T>(
    condition: () => T | Promise<T>,
    { timeoutMs, what }: { readonly timeoutMs: number; readonly what: string },
  ): Promise<Exclude<T, false | undefined | null>> {
    const from = now();
    const isLate = () => now() - from > timeoutMs + Math.min(silentMaxMs, this.silentMs(from));
    const tried = async () => {
      const value = await condition();
      if (value !== false && value !== undefined && value !== null) return { value };
      return isLate() && { value: undefined };
    };
    const { value } = await until(tried, { what, timeoutMs: timeoutMs + silentMaxMs });
    if (value === undefined) throw new Error(`no ${what} within ${timeoutMs} ms`);
    return value as Exclude<T, false | undefined | null>;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #beat(): Promise<void> {
    try {
      const { members } = this.#cluster;
      const renewals = members.map(({ gateway }) => gateway.renew(this.#lease, { timeoutMs }));
      const writes = members.map(({ gateway }) => gateway.call("kv/deleterange", write, { timeoutMs }));
      await Promise.all([Promise.any(renewals), Promise.any(writes)]);
      this.#answers.push(now());
    } catch {
      // nobody did: that is what the silence shows
    }
  }
}
