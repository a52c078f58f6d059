import { readFileSync } from "node:fs";

/** The kernel counts time in hundredths of a second. */
const msPerTick = 10;
const bytesPerPage = 4096;

/** Milliseconds of CPU that a process took so far, system calls included. */
function cpuMsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * msPerTick;
}

/** Resident memory of a process in MB. */
export function residentMbOf(pid: number): number {
  return (Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]) * bytesPerPage) / 1e6;
}

/** What two processes took of a core between two moments, in percent. */
export class Use {
  readonly #pid: number;
  readonly #startedAt = performance.now();
  readonly #server: number;
  readonly #client = process.cpuUsage();

  constructor(pid: number) {
    this.#pid = pid;
    this.#server = cpuMsOf(pid);
  }

  get elapsedMs(): number {
    return performance.now() - this.#startedAt;
  }

  get serverPercent(): number {
    return ((cpuMsOf(this.#pid) - this.#server) / this.elapsedMs) * 100;
  }

  /** Of this process: near 100 it is what limits the others. */
  get clientPercent(): number {
    const { user, system } = process.cpuUsage(this.#client);
    return ((user + system) / 1000 / this.elapsedMs) * 100;
  }
}

/** The least value that this share of all is not above. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}
