// What the documents say of `tenure run` in numbers: `npm run measure:run`. Not part of the suite, as it takes minutes
// and wants a quiet machine. TENURE_MEASURE_ROUNDS and TENURE_MEASURE_FAULTS say how often, and TENURE_MEASURE_FILE
// where the result goes.
import { writeFileSync } from "node:fs";
import { seededRandom } from "@tenure/etcd/runtime";
import { afterAll, beforeAll, expect, it } from "vitest";
import { containmentNamed } from "../../packages/cli/src/run/containment.ts";
import { ProcessTree } from "../../packages/cli/src/run/process-tree.ts";
import { Fleet, type Fault, FAULTS, type Start } from "../e2e/fleet.ts";
import { dead, lives, started, supervise, treeOf } from "../e2e/supervised.ts";
import { keys } from "../e2e/tenure.ts";
import { startProxy } from "../support/proxy.ts";
import { type RealEtcd, startEtcd } from "../support/real-etcd.ts";
import { pause, until } from "../support/until.ts";

const rounds = Number(process.env["TENURE_MEASURE_ROUNDS"]);
const faults = Number(process.env["TENURE_MEASURE_FAULTS"]);
const limits = { timeout: 60_000 + Math.max(rounds * 30_000, faults * 15_000) };
const resign = ["--on-exit", "resign"];
/** For what waits for the end of a lease. */
const SHORT_TTL = ["--ttl", "4"];
/** A supervisor that has just started, and its guard, are busy for a while; the measured ones run for long. */
const REST_MS = 1000;

/** What was measured, by its name: milliseconds, one for each round. */
const measured: Record<string, number[]> = {};
/** What was counted, by its name: how often it was as it must be, and of how many. */
const counted: Record<string, { good: number; of: number }> = {};

let store: RealEtcd;
beforeAll(async () => void (store = await startEtcd()));
afterAll(async () => {
  await store.stop();
  writeFileSync(process.env["TENURE_MEASURE_FILE"] ?? "", JSON.stringify({ etcd: store.version, measured, counted }));
});

function took(what: string, durationMs: number): void {
  (measured[what] ??= []).push(durationMs);
}

function count(what: string, good: boolean): void {
  const all = (counted[what] ??= { good: 0, of: 0 });
  all.of++;
  if (good) all.good++;
}

/** Does one fault after another to a fleet's leader, each when all has come to rest. */
async function repeat(fleet: Fleet, fault: Fault, each: (last: Start, at: number) => Promise<void>): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    await fleet.settled();
    await pause(REST_MS);
    const last = await fleet.settled();
    const at = performance.now();
    await each(last, at);
    fleet.mend(fault, last);
  }
}

it("the program is killed", limits, async () => {
  await using fleet = new Fleet(store, "program", resign);
  await repeat(fleet, "program killed", async (last, at) => {
    await fleet.inflict("program killed", last);
    took("program killed: next start", performance.now() - at);
  });
  expect(fleet.overlaps).toEqual([]);
});

it("the supervisor is killed", limits, async () => {
  await using fleet = new Fleet(store, "supervisor", resign);
  await repeat(fleet, "supervisor killed", async (last) => {
    const tree = treeOf(last.supervisor);
    expect(tree).toHaveLength(3);
    const at = performance.now();
    const next = fleet.inflict("supervisor killed", last);
    await until(() => !tree.some(lives), { what: "end of the tree", intervalMs: 1 });
    took("supervisor killed: tree dead", performance.now() - at);
    await next;
    took("supervisor killed: next start", performance.now() - at);
  });
  expect(fleet.overlaps).toEqual([]);
});

it("the supervisor is frozen past its TTL", limits, async () => {
  await using fleet = new Fleet(store, "frozen", [...SHORT_TTL, ...resign]);
  await repeat(fleet, "supervisor frozen", async (last, at) => {
    await fleet.inflict("supervisor frozen", last);
    count("supervisor frozen: program dead before the next start", !lives(last.pid));
    took("supervisor frozen (TTL 4 s): next start", performance.now() - at);
  });
  expect(fleet.overlaps).toEqual([]);
});

it("the link to etcd is cut", limits, async () => {
  for (let round = 0; round < rounds; round++) {
    await using proxy = await startProxy(store.endpoint);
    await using supervisor = supervise(proxy, "cut", { flags: [...SHORT_TTL, ...resign] });
    const { pid } = await started(supervisor);
    proxy.blackhole();
    await dead(pid);
    count("link cut: program dead while its key is there", (await keys(store, "cut/")).length === 1);
    await until(async () => (await keys(store, "cut/")).length === 0, { what: "end of the key" });
  }
});

it("SIGINT comes while a node waits", limits, async () => {
  await using leader = supervise(store, "waits");
  await started(leader);
  for (let round = 0; round < rounds; round++) {
    await using standby = supervise(store, "waits");
    await until(async () => (await keys(store, "waits/")).length === 2, { what: "second candidate" });
    await pause(REST_MS);
    const at = performance.now();
    standby.signal("SIGINT");
    // Not until its output ends: the guard holds stderr a moment longer.
    await until(() => !lives(standby.pid), { what: "exit", intervalMs: 1 });
    took("SIGINT while waiting: exit", performance.now() - at);
    count("SIGINT while waiting: key gone", (await keys(store, "waits/")).length === 1);
  }
});

it("a program starts", limits, async () => {
  const log = { note: (text: string): void => expect.fail(text) };
  for (let round = 0; round < rounds; round++) {
    for (const way of ["group", "cgroup", "pidns"]) {
      const containment = containmentNamed(way);
      const options = { what: "true", file: "/bin/true", args: [], env: process.env, log, guard: undefined };
      const at = performance.now();
      const program = new ProcessTree({ ...options, containment });
      expect(await program.exited).toMatchObject({ code: 0 });
      took(`start and end of \`true\`, --contain ${way}`, performance.now() - at);
      await program.kill();
    }
  }
});

it("mixed faults", limits, async () => {
  await using fleet = new Fleet(store, "mixed", [...SHORT_TTL, ...resign]);
  const random = seededRandom(6);
  for (let done = 0; done < faults; done++) {
    const last = await fleet.settled();
    const fault = FAULTS[Math.floor(random.fraction() * FAULTS.length)] ?? "program killed";
    const overlaps = fleet.overlaps.length;
    const at = performance.now();
    await fleet.inflict(fault, last);
    if (fault !== "supervisor frozen") took(`mixed faults, ${fault}: next start`, performance.now() - at);
    count("mixed faults: never two programs alive", !lives(last.pid) && fleet.overlaps.length === overlaps);
    fleet.mend(fault, last);
  }
  await fleet.settled();
  expect(await fleet.stop()).toEqual({ programs: [], keys: [] });
});
