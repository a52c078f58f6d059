import { readdirSync, readFileSync } from "node:fs";
import type { NodeProcess } from "../support/process.ts";
import { until } from "../support/until.ts";
import { type Env, startTenure, type Store } from "./tenure.ts";

/** A program that says who it is and in which term, and works until it is ended. */
const worker: readonly string[] = ["sh", "-c", "echo started $$ $TENURE_TOKEN; exec sleep 1000"];

/** What a worker said at its start. */
export interface Started {
  readonly pid: number;
  readonly token: bigint;
}

/** How a supervisor is started. */
export interface SuperviseOptions {
  readonly flags?: readonly string[];
  readonly program?: readonly string[];
  readonly env?: Env;
}

/** Starts `tenure run NAME`. */
export function supervise(store: Pick<Store, "endpoint">, name: string, options: SuperviseOptions = {}): NodeProcess {
  const { flags = [], program = worker, env } = options;
  return startTenure(["run", name, "--endpoints", store.endpoint, ...flags, "--", ...program], env);
}

/** Waits until a supervisor's worker has started. */
export async function started(supervisor: NodeProcess, timeoutMs?: number): Promise<Started> {
  const [, pid = "", token = ""] = (await supervisor.line(/^started/, timeoutMs)).split(" ");
  return { pid: Number(pid), token: BigInt(token) };
}

/** Whether a process lives; a zombie does not. */
export function lives(pid: number): boolean {
  return !["", "Z", "X"].includes(stat(pid)[0] ?? "");
}

/** The processes whose parent is a given one. */
export function childrenOf(parent: number): number[] {
  return processes().filter((pid) => Number(stat(pid)[1]) === parent);
}

/** The processes of a group. */
export function groupOf(pgid: number): number[] {
  return processes().filter((pid) => Number(stat(pid)[2]) === pgid);
}

/** What a process was started with: a program and its arguments, empty when it has ended. */
export function commandOf(pid: number): string[] {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    return words.map((word) => (word.endsWith("/guard.js") ? "guard.js" : word));
  } catch {
    return [];
  }
}

/** Waits until a process lives no more. */
export async function dead(pid: number, timeoutMs?: number): Promise<void> {
  await until(() => !lives(pid), { what: `end of process ${pid}`, intervalMs: 2, ...(timeoutMs && { timeoutMs }) });
}

function processes(): number[] {
  return readdirSync("/proc").map(Number).filter(Number.isInteger);
}

/** The fields behind the name, from the state on. */
function stat(pid: number): string[] {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  } catch {
    return [""];
  }
}
