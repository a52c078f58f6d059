import { backoffMs, systemClock, systemRandom } from "@tenure/etcd/runtime";
import { ProcessTree, settledWithin, type TreeOptions } from "./process-tree.ts";

const RESTART_BOUNDS = { firstMs: 500, maxMs: 10_000 };
/** A program that ran for longer is not failing at its start. */
const AT_WORK_MS = 10_000;

/** The program that runs while this node stands by: started again when it ends, stopped before the node leads. */
export class Standby {
  readonly #options: TreeOptions;
  readonly #stopSignal: NodeJS.Signals;
  readonly #stopTimeoutMs: number;
  #stopping: AbortController | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(options: TreeOptions, stopSignal: NodeJS.Signals, stopTimeoutMs: number) {
    this.#options = options;
    this.#stopSignal = stopSignal;
    this.#stopTimeoutMs = stopTimeoutMs;
  }

  start(): void {
    if (this.#stopping !== undefined) return;
    this.#stopping = new AbortController();
    this.#running = this.#run(this.#stopping.signal);
  }

  /** Resolves when nothing of it lives any more. */
  async stop(): Promise<void> {
    this.#stopping?.abort();
    await this.#running;
    this.#stopping = undefined;
  }

  async #run(signal: AbortSignal): Promise<void> {
    const stopped = new Promise<void>((resolve) => {
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
    for (let attempt = 0; !signal.aborted; attempt++) {
      const startedAt = systemClock.now();
      const tree = new ProcessTree(this.#options);
      await Promise.race([tree.exited, stopped]);
      const stopBy = systemClock.now() + this.#stopTimeoutMs;
      const exit = await tree.stop(this.#stopSignal, () => (signal.aborted ? stopBy - systemClock.now() : 0));
      if (signal.aborted) return;
      this.#options.log.note(`${this.#options.what} ${exit.text}`);
      if (systemClock.now() - startedAt > AT_WORK_MS) attempt = 0;
      await settledWithin(stopped, backoffMs(attempt, RESTART_BOUNDS, systemRandom));
    }
  }
}
