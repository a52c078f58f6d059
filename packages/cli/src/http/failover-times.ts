import { Histogram, labelText } from "./metric-text.ts";

/** What took time in a change of leader, as far as one node can know it. */
export type FailoverKind = "takeover" | "vacant" | "planned" | "exit" | "lost";
export type FailoverPhase = "elect" | "promote" | "total" | "stop" | "release";

/** How long one phase took in one kind of change. */
interface PhaseTimes {
  readonly labels: string;
  readonly seconds: Histogram;
}

const SECONDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** How long this node's parts in changes of leader took, of one service. */
export class FailoverTimes {
  readonly #election: string;
  readonly #times = new Map<string, PhaseTimes>();

  constructor(election: string) {
    this.#election = election;
  }

  /** By kind and phase. */
  get all(): Iterable<PhaseTimes> {
    return this.#times.values();
  }

  took(kind: FailoverKind, phase: FailoverPhase, durationMs: number): void {
    const key = `${kind} ${phase}`;
    const labels = labelText({ election: this.#election, kind, phase });
    const times = this.#times.get(key) ?? { labels, seconds: new Histogram(SECONDS) };
    this.#times.set(key, times);
    times.seconds.observe(durationMs / 1000);
  }
}
