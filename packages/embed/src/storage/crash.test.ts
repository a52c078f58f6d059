import { seededRandom } from "@tenure/etcd/runtime";
import { describe, expect, it } from "vitest";

import { type Crash, CrashDisk } from "../testing/crash-disk.ts";
import { KeptServer } from "../testing/kept-server.ts";

const SEEDS = Number(process.env["TENURE_CRASH_SEEDS"] ?? 150);
const LIVES = 6;
const MAX_CALLS = 120;
const MAX_TURNS = 40;

/** What a run knows of the states there were, and which of them somebody has heard of. */
interface Witness {
  /** Each state there was in this life, in order. */
  readonly states: string[];
  /** Place of the newest state of which an answer has told. */
  told: number;
}

/** Asks until the disk goes down or there were enough turns. Every answer tells of the state at its time. */
async function live(kept: KeptServer, disk: CrashDisk, seed: number, witness: Witness): Promise<void> {
  const random = seededRandom(seed);
  const { gate } = kept.storage;
  let isDown = false;
  void disk.down.then(() => (isDown = true));
  const tell = (): void => {
    const place = witness.states.length - 1;
    const answer = (): void => {
      expect(place).toBeGreaterThanOrEqual(witness.told);
      witness.told = place;
    };
    if (gate.isOpen) answer();
    else gate.hold(answer);
  };
  for (let turn = 0; turn < MAX_TURNS && !isDown; turn += 1) {
    // A read, and then changes that not everybody waits for, such as the end of a lease.
    if (random.fraction() < 0.5) tell();
    for (let requests = Math.floor(random.fraction() * 4); requests > 0; requests -= 1) {
      kept.act(random);
      witness.states.push(kept.state);
      if (random.fraction() < 0.5) tell();
    }
    if (random.fraction() < 0.7) await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Whether a server has a state there was in its last life, and not one from before what was told. */
function compare(kept: KeptServer, { states, told }: Witness, when: string): number {
  const place = states.lastIndexOf(kept.state);
  expect(place, `${when}: the state is one there was`).toBeGreaterThanOrEqual(0);
  expect(place, `${when}: nothing told is lost`).toBeGreaterThanOrEqual(told);
  return told > 0 ? 1 : 0;
}

/** Starts, lives and crashes again and again. Returns how many states of which somebody had heard came back. */
async function run(seed: number): Promise<number> {
  const random = seededRandom(seed);
  let disk = new CrashDisk();
  let witness: Witness | undefined;
  let checked = 0;
  for (let life = 0; life < LIVES; life += 1) {
    disk.callsLeft = Math.floor(random.fraction() * MAX_CALLS);
    const kept = await Promise.race([KeptServer.start(disk, { seed: seed * 100 + life }), disk.down]);
    if (kept !== undefined) {
      if (witness !== undefined) checked += compare(kept, witness, `seed ${seed}, life ${life}`);
      // What is shown now must stay, as if an answer had told of it.
      witness = { states: [kept.state], told: 0 };
      await live(kept, disk, seed * 1000 + life, witness);
    }
    const crash: Crash = random.fraction() < 0.5 ? "kill" : "power loss";
    disk = disk.afterCrash(crash, random);
  }
  return checked;
}

describe("after any number of crashes", () => {
  it("a server starts with a state there was, and of which nothing that was told is lost", async () => {
    let checked = 0;
    for (let seed = 1; seed <= SEEDS; seed += 1) checked += await run(seed);
    // Else it looked at nothing.
    expect(checked).toBeGreaterThan(SEEDS);
  });
});
