import { now } from "./clock.ts";
import type { Cluster } from "./cluster.ts";
import { base64 } from "./gateway.ts";

const everyMs = 150;
const timeoutMs = 500;
const write = { key: base64("pulse"), value: "" };

/** Writes to etcd all the time, through whichever member takes it, to know when no client could have. */
export class Pulse {
  readonly #cluster: Cluster;
  readonly #answers: number[] = [];
  readonly #timer: NodeJS.Timeout;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.#timer = setInterval(() => void this.#beat(), everyMs);
  }

  /** The longest time without an answered write, from one instant on. */
  longestSilenceMs(since: number): number {
    const answers = this.#answers.filter((at) => at >= since);
    const before = this.#answers.findLast((at) => at < since) ?? since;
    return Math.max(...[...answers, now()].map((at, index) => at - (answers[index - 1] ?? before)));
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #beat(): Promise<void> {
    const calls = this.#cluster.members.map(({ gateway }) => gateway.call("kv/put", write, { timeoutMs }));
    try {
      await Promise.any(calls);
      this.#answers.push(now());
    } catch {
      // nobody took it: that is what the silence shows
    }
  }
}
