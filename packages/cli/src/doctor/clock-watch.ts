import type { Clock } from "@tenure/etcd/runtime";
import { Samples, type Spread } from "./samples.ts";

/** How this process and the clocks of this machine fared. */
export interface ClockReport {
  /** How late timers were: what else the process did, or waited for. */
  readonly eventLoopLagMs: Spread | null;
  /** The largest jump of the wall clock; less than 0 when it went back. */
  readonly wallClockJumpMs: number;
  /** How much further the uptime clock went than the monotonic one: the time spent suspended. */
  readonly suspendedMs: number;
}

const INTERVAL_MS = 20;
/** Readings of two clocks that lie further apart are not compared: this process stood still in between. */
const UNCERTAIN_MS = 5;

/** All clocks at one moment. */
interface Reading {
  readonly monotonicMs: number;
  readonly uptimeMs: number;
  readonly wallMs: number;
}

/** Looks at the clocks at short intervals, from its making until it is stopped. */
export class ClockWatch {
  readonly #clock: Clock;
  readonly #lags = new Samples();
  #last: Reading | undefined;
  #jumpMs = 0;
  #suspendedMs = 0;
  #cancel: () => void = () => undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#last = this.#read();
    this.#arm();
  }

  /** Ends it; what was seen. */
  stop(): ClockReport {
    this.#cancel();
    return {
      eventLoopLagMs: this.#lags.spread(),
      wallClockJumpMs: Math.round(this.#jumpMs),
      suspendedMs: Math.round(this.#suspendedMs),
    };
  }

  #arm(): void {
    const dueAt = this.#clock.monotonic() + INTERVAL_MS;
    this.#cancel = this.#clock.after(INTERVAL_MS, () => {
      this.#lags.add(Math.max(0, this.#clock.monotonic() - dueAt));
      this.#compare(this.#read());
      this.#arm();
    });
  }

  #read(): Reading | undefined {
    const monotonicMs = this.#clock.monotonic();
    const reading = { monotonicMs, uptimeMs: this.#clock.now(), wallMs: this.#clock.date().getTime() };
    return this.#clock.monotonic() - monotonicMs > UNCERTAIN_MS ? undefined : reading;
  }

  #compare(reading: Reading | undefined): void {
    const last = this.#last;
    if (reading === undefined) return;
    this.#last = reading;
    if (last === undefined) return;
    const uptimeMs = reading.uptimeMs - last.uptimeMs;
    const suspendedMs = uptimeMs - (reading.monotonicMs - last.monotonicMs);
    if (suspendedMs > 2 * UNCERTAIN_MS) this.#suspendedMs += suspendedMs;
    const jumpMs = reading.wallMs - last.wallMs - uptimeMs;
    if (Math.abs(jumpMs) > Math.abs(this.#jumpMs)) this.#jumpMs = jumpMs;
  }
}
