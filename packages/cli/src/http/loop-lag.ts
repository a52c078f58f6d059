import { type Clock, systemClock } from "@tenure/etcd/runtime";
import { Histogram } from "./metric-text.ts";

const LOOK_MS = 500;
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** How late this process gets to what is due: a timer that should fire twice a second. */
export class LoopLag implements Disposable {
  readonly seconds: Histogram = new Histogram(SECONDS);
  readonly #clock: Clock;
  #cancel: () => void = () => undefined;

  constructor(clock: Clock = systemClock) {
    this.#clock = clock;
    this.#arm();
  }

  [Symbol.dispose](): void {
    this.#cancel();
  }

  #arm(): void {
    const dueAt = this.#clock.now() + LOOK_MS;
    this.#cancel = this.#clock.after(LOOK_MS, () => {
      this.seconds.observe(Math.max(0, this.#clock.now() - dueAt) / 1000);
      this.#arm();
    });
  }
}
