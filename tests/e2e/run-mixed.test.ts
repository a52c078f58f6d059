// Three supervisors and one fault after another. TENURE_RUN_FAULTS=200 makes it as many as that; 15 by default.
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seededRandom } from "@tenure/etcd/runtime";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { NodeProcess } from "../support/process.ts";
import { type RealEtcd, startEtcd } from "../support/real-etcd.ts";
import { until } from "../support/until.ts";
import { lives, supervise } from "./supervised.ts";
import { keys } from "./tenure.ts";

const FAULTS = Number(process.env["TENURE_RUN_FAULTS"] ?? 15);
const KINDS = ["program killed", "supervisor killed", "supervisor stopped", "supervisor frozen"] as const;
type Kind = (typeof KINDS)[number];

const folder = mkdtempSync(join(tmpdir(), "tenure-run-"));
const file = join(folder, "starts");
/** With a child in its group, and one that left it and has no parent. */
const program = ["sh", "-c", `echo start $$ $PPID >> ${file}; sleep 1000 & setsid -f sleep 1000; exec sleep 1000`];

interface Start {
  readonly pid: number;
  readonly supervisor: number;
}

let store: RealEtcd;
const supervisors = new Map<number, NodeProcess>();
beforeAll(async () => {
  appendFileSync(file, "");
  store = await startEtcd();
});
afterAll(async () => {
  for (const each of supervisors.values()) await each[Symbol.asyncDispose]();
  await store.stop();
  rmSync(folder, { recursive: true });
});

function start(): void {
  const supervisor = supervise(store, "mixed", { flags: ["--ttl", "4", "--on-exit", "resign"], program });
  supervisors.set(supervisor.pid, supervisor);
}

/** All starts of the program, the newest last; a line that is just being written is left out. */
function starts(): Start[] {
  const lines = readFileSync(file, "utf8").split("\n").slice(0, -1);
  return lines.map((line) => ({ pid: Number(line.split(" ")[1]), supervisor: Number(line.split(" ")[2]) }));
}

/** Waits until one program runs and two nodes stand by. */
async function settledStart(): Promise<Start> {
  await until(async () => (await keys(store, "mixed/")).length === 3, { what: "three candidates", timeoutMs: 20_000 });
  return until(
    () => {
      const last = starts().at(-1);
      return last !== undefined && lives(last.pid) && last;
    },
    { what: "program", timeoutMs: 20_000 },
  );
}

function inflict(kind: Kind, { pid, supervisor }: Start): void {
  if (kind === "program killed") process.kill(pid, "SIGKILL");
  if (kind === "supervisor killed") process.kill(supervisor, "SIGKILL");
  if (kind === "supervisor stopped") process.kill(supervisor, "SIGTERM");
  if (kind === "supervisor frozen") process.kill(supervisor, "SIGSTOP");
}

function median(all: readonly number[]): number {
  const sorted = [...all].sort((a, b) => a - b);
  return Math.round(sorted[sorted.length >> 1] ?? 0);
}

/** Has the supervisor take part again, or another in its place. */
function mend(kind: Kind, { supervisor }: Start): void {
  if (kind === "supervisor frozen") process.kill(supervisor, "SIGCONT");
  if (kind === "supervisor killed" || kind === "supervisor stopped") {
    supervisors.delete(supervisor);
    start();
  }
}

it(
  `never lets two programs live at once, in ${FAULTS} mixed faults, and leaves nothing`,
  { timeout: 60_000 + FAULTS * 12_000 },
  async () => {
    const random = seededRandom(6);
    const overlaps: number[][] = [];
    const census = setInterval(() => {
      const living = starts()
        .slice(-8)
        .filter(({ pid }) => lives(pid));
      if (living.length > 1) overlaps.push(living.map(({ pid }) => pid));
    }, 10);
    const tookMs = new Map<Kind, number[]>(KINDS.map((kind) => [kind, []]));
    try {
      for (let count = 0; count < 3; count++) start();
      for (let count = 0; count < FAULTS; count++) {
        const last = await settledStart();
        const kind = KINDS[Math.floor(random.fraction() * KINDS.length)] ?? "program killed";
        const before = starts().length;
        const at = performance.now();
        inflict(kind, last);
        const next = await until(() => starts()[before], {
          what: `start after: ${kind}`,
          timeoutMs: 15_000,
          intervalMs: 2,
        });
        tookMs.get(kind)?.push(performance.now() - at);
        expect(lives(last.pid)).toBe(false);
        expect(next.supervisor).not.toBe(last.supervisor);
        mend(kind, last);
      }
      await settledStart();
    } finally {
      clearInterval(census);
    }
    expect(overlaps).toEqual([]);
    for (const supervisor of supervisors.values()) supervisor.signal("SIGTERM");
    for (const supervisor of supervisors.values()) expect((await supervisor.exit()).signal).toBe(null);
    expect(starts().filter(({ pid }) => lives(pid))).toEqual([]);
    expect(await keys(store, "mixed/")).toEqual([]);
    for (const [kind, all] of tookMs)
      console.log(`${kind}: ${all.length} times, next start after ${median(all)} ms (median)`);
    // The lease alone would take 4 s.
    const crashes = ["program killed", "supervisor killed"] as const;
    expect(crashes.map((kind) => median(tookMs.get(kind) ?? [])).filter((each) => each > 2000)).toEqual([]);
  },
);
