import type { HookName, HookResult } from "../run/hooks.ts";
import { Histogram, labelText } from "./metric-text.ts";

/** How long one hook took when it came to one result. */
interface HookTimes {
  readonly labels: string;
  readonly seconds: Histogram;
}

const SECONDS = [0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30];

/** What became of the hooks of one service. */
export class HookFacts {
  readonly #election: string;
  readonly #failures = new Map<HookName, { readonly labels: string; count: number }>();
  readonly #times = new Map<string, HookTimes>();

  constructor(election: string) {
    this.#election = election;
  }

  /** Runs that failed, or took too long, of each hook that there is. */
  get failures(): Iterable<{ readonly labels: string; readonly count: number }> {
    return this.#failures.values();
  }

  /** How long runs took, by hook and result. */
  get times(): Iterable<HookTimes> {
    return this.#times.values();
  }

  /** There are these, so that their first failure is seen as one. */
  are(names: readonly HookName[]): void {
    for (const hook of names) this.#failuresOf(hook);
  }

  ran(hook: HookName, result: HookResult, durationMs: number): void {
    if (result === "failed" || result === "timeout") this.#failuresOf(hook).count++;
    const key = `${hook} ${result}`;
    const labels = labelText({ election: this.#election, hook, result });
    const times = this.#times.get(key) ?? { labels, seconds: new Histogram(SECONDS) };
    this.#times.set(key, times);
    times.seconds.observe(durationMs / 1000);
  }

  #failuresOf(hook: HookName): { count: number } {
    const known = this.#failures.get(hook);
    if (known !== undefined) return known;
    const failures = { labels: labelText({ election: this.#election, hook }), count: 0 };
    this.#failures.set(hook, failures);
    return failures;
  }
}
