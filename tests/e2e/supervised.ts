import { readdirSync, readFileSync, readlinkSync } from "node:fs";
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

/** The same with the children of these, and so on. */
export function descendantsOf(ancestor: number): number[] {
  return childrenOf(ancestor).flatMap((pid) => [pid, ...descendantsOf(pid)]);
}

/** The processes of a group. */
export function groupOf(pgid: number): number[] {
  return processes().filter((pid) => Number(stat(pid)[2]) === pgid);
}

/** The PID namespace that a process started another in, once there is one. */
export function namespaceBelow(ancestor: number): string | undefined {
  for (const pid of childrenOf(ancestor)) {
    const namespace = namespaceOf(pid);
    const found = namespace === namespaceOf(ancestor) ? namespaceBelow(pid) : namespace;
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The processes in a PID namespace; a zombie is none. */
export function membersOf(namespace: string): number[] {
  return processes().filter((pid) => namespaceOf(pid) === namespace && lives(pid));
}

/** All that a supervisor started and that still carries its mark. */
export function treeOf(supervisor: number): number[] {
  const mark = `\0TENURE_TREE=${supervisor}-`;
  return processes().filter((pid) => {
    try {
      return `\0${readFileSync(`/proc/${pid}/environ`, "utf8")}`.includes(mark);
    } catch {
      return false; // it ended meanwhile, or is another user's
    }
  });
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

function namespaceOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`);
  } catch {
    return undefined;
  }
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
