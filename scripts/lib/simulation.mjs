// Runs many seeds of the simulation in a few child processes and adds up what they find.
import { fork } from "node:child_process";
import { availableParallelism } from "node:os";
import { note, root } from "./process.mjs";

/** Where the simulation is compiled to. */
export const simulationDist = `${root}tests/simulation/dist/`;

const workersMax = 4;
/** One seed in so many runs twice, to find chance and time that are not simulated. */
const repeatEvery = 100;
const progressMs = 5000;
/** What crashed in a seed never ends, and stays in memory: workers are replaced. */
const seedsPerWorker = 200;
/** A seed takes a fraction of a second. */
const seedTimeoutMs = 120_000;

/** Deals seeds to workers and adds up what they find. */
export class Simulation {
  counts = { seeds: 0, faults: {}, terms: 0, violations: 0 };
  #options;
  #next;
  #failures = [];
  #virtualMs = 0;
  #started = performance.now();

  constructor(options) {
    this.#options = options;
    this.#next = options.first;
  }

  /** The failed seed with the lowest number, with its trace; undefined when all went well. */
  async run() {
    const progress = setInterval(() => this.#tell(), progressMs);
    const size = Math.min(workersMax, availableParallelism(), this.#options.seeds);
    try {
      await Promise.all(Array.from({ length: size }, () => this.#work()));
    } finally {
      clearInterval(progress);
    }
    this.#tell();
    const [failure] = this.#failures.toSorted((a, b) => a.seed - b.seed);
    if (failure === undefined && !this.#options.trace) return undefined;
    const worker = new Worker(this.#options.bug);
    try {
      const again = await worker.run(failure?.seed ?? this.#options.first, "lines");
      if (failure !== undefined) return { ...failure, lines: again.lines, repeats: again.violation !== undefined };
      console.log(again.lines.join("\n"));
      return undefined;
    } finally {
      worker.close();
    }
  }

  async #work() {
    let worker = new Worker(this.#options.bug);
    try {
      for (let seed = this.#take(); seed !== undefined; seed = this.#take()) {
        if (worker.seeds >= seedsPerWorker) {
          worker.close();
          worker = new Worker(this.#options.bug);
        }
        await this.#runSeed(worker, seed);
      }
    } finally {
      worker.close();
    }
  }

  #take() {
    const { first, seeds, minutes } = this.#options;
    const over = performance.now() - this.#started >= minutes * 60_000;
    if (over || this.#failures.length > 0 || this.#next >= first + seeds) return undefined;
    return this.#next++;
  }

  async #runSeed(worker, seed) {
    const repeats = seed % repeatEvery === 0;
    const result = await worker.run(seed, repeats ? "hash" : "off");
    this.#add(result);
    if (!repeats || result.violation !== undefined) return;
    const { digest } = await worker.run(seed, "hash");
    if (digest !== result.digest) this.#fail({ seed, violation: "the same seed made two histories: hidden chance" });
  }

  #add(result) {
    const { counts } = this;
    counts.seeds++;
    counts.terms += result.terms;
    for (const [kind, n] of Object.entries(result.faults)) counts.faults[kind] = (counts.faults[kind] ?? 0) + n;
    this.#virtualMs += result.virtualMs;
    if (result.violation !== undefined) this.#fail(result);
  }

  #fail({ seed, violation }) {
    this.counts.violations++;
    this.#failures.push({ seed, violation });
  }

  #tell() {
    const { seeds, terms, faults, violations } = this.counts;
    const injected = Object.values(faults).reduce((sum, n) => sum + n, 0);
    const seconds = (performance.now() - this.#started) / 1000;
    const hours = (this.#virtualMs / 3_600_000).toFixed(1);
    note(
      `${seconds.toFixed(0)} s: ${seeds} seeds, ${hours} simulated hours, ${injected} faults of ` +
        `${Object.keys(faults).length} kinds, ${terms} terms, ${violations} violations`,
    );
  }
}

/** A process that runs seeds, one at a time. */
class Worker {
  /** Seeds it was given. */
  seeds = 0;
  #child;
  #said = "";

  constructor(bug) {
    // The product warns of a `lead` that outlives its term, which is done here on purpose.
    const execArgv = ["--no-warnings", ...(bug === undefined ? [] : ["--import", `file://${simulationDist}plant.js`])];
    const env = { ...process.env, ...(bug !== undefined && { SIMULATED_BUG: bug.name }) };
    this.#child = fork(`${simulationDist}worker.js`, [], { execArgv, env, stdio: ["ignore", "ignore", "pipe", "ipc"] });
    // Node tells some errors nobody but here, an overflow of the stack among unhandled rejections for instance.
    this.#child.stderr.on("data", (text) => (this.#said += text));
  }

  run(seed, mode) {
    this.seeds++;
    return new Promise((resolve, reject) => {
      const settle = (result) => {
        clearTimeout(timer);
        this.#child.off("exit", onExit);
        // What it wrote before its answer may be read after it.
        setTimeout(() => {
          resolve(this.#said === "" ? result : { ...result, violation: `it wrote to stderr: ${this.#said}` });
          this.#said = "";
        }, 1);
      };
      const onExit = (code) => {
        clearTimeout(timer);
        reject(new Error(`the worker ended with code ${code} at seed ${seed}: ${this.#said}`));
      };
      const timer = setTimeout(() => this.#child.kill("SIGKILL"), seedTimeoutMs);
      this.#child.once("exit", onExit);
      this.#child.once("message", settle);
      this.#child.send({ seed, mode });
    });
  }

  close() {
    this.#child.kill();
  }
}
