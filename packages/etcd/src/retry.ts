import { abortedError, EtcdError } from "./errors.ts";
import type { Transport } from "./rpc-transport.ts";
import { backoffMs } from "./runtime/backoff.ts";
import type { Clock } from "./runtime/clock.ts";
import type { Random } from "./runtime/random.ts";
import { DEFAULT_TIMEOUT_MS, NO_HTTP2 } from "./transport.ts";

/** Calls that change nothing, so that they may be carried out twice. */
const READS: ReadonlySet<string> = new Set(["Range", "LeaseTimeToLive", "LeaseLeases", "MemberList"]);
const BOUNDS = { firstMs: 25, maxMs: 500 };

/**
 * Asks again for what only reads, until the call's deadline, when the answer was lost on the way or the cluster is
 * between two leaders of its own. That nobody can be reached at all is told at once. Everything else is its caller's to
 * repeat, who knows what a second execution does.
 */
export class RetryTransport implements Transport {
  readonly stream: Transport["stream"];
  readonly #inner: Transport;
  readonly #clock: Clock;
  readonly #random: Random;

  constructor(inner: Transport, clock: Clock, random: Random) {
    this.#inner = inner;
    this.#clock = clock;
    this.#random = random;
    this.stream = (...call) => inner.stream(...call);
  }

  readonly unary: Transport["unary"] = (...call) => {
    const [method] = call;
    return READS.has(method.name) ? this.#repeated(...call) : this.#inner.unary(...call);
  };

  readonly #repeated: Transport["unary"] = async (method, signal, timeoutMs, headers, input) => {
    const deadline = this.#clock.monotonic() + (timeoutMs ?? DEFAULT_TIMEOUT_MS);
    for (let attempt = 0; ; attempt++) {
      const leftMs = attempt === 0 ? timeoutMs : Math.ceil(deadline - this.#clock.monotonic());
      try {
        return await this.#inner.unary(method, signal, leftMs, headers, input);
      } catch (thrown) {
        const error = EtcdError.from(thrown);
        const waitMs = backoffMs(attempt, BOUNDS, this.#random);
        if (!mayPass(error) || this.#clock.monotonic() + waitMs >= deadline) throw error;
        await this.#pause(waitMs, signal);
      }
    }
  };

  #pause(waitMs: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        cancelTimer();
        if (signal !== undefined) reject(abortedError(signal));
      };
      const cancelTimer = this.#clock.after(waitMs, () => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      });
      signal?.addEventListener("abort", onAbort, { once: true });
      if (signal?.aborted === true) onAbort();
    });
  }
}

function mayPass({ code, mayHaveApplied, message }: EtcdError): boolean {
  if (code !== "unavailable" || message.includes(NO_HTTP2)) return false;
  return mayHaveApplied || message.includes("etcdserver: no leader");
}
