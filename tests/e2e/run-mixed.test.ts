// Three supervisors and one fault after another. TENURE_RUN_FAULTS=200 makes it as many as that; 15 by default.
import { seededRandom } from "@tenure/etcd/runtime";
import { expect, it } from "vitest";
import { startEtcd } from "../support/real-etcd.ts";
import { type Fault, FAULTS, Fleet } from "./fleet.ts";
import { lives } from "./supervised.ts";

const COUNT = Number(process.env["TENURE_RUN_FAULTS"] ?? 15);

it(
  `never lets two programs live at once, in ${COUNT} mixed faults, and leaves nothing`,
  { timeout: 60_000 + COUNT * 12_000 },
  async () => {
    await using store = await startEtcd();
    await using fleet = new Fleet(store, "mixed", ["--ttl", "4", "--on-exit", "resign"]);
    const random = seededRandom(6);
    const crashesMs: number[] = [];
    for (let count = 0; count < COUNT; count++) {
      const last = await fleet.settled();
      const fault: Fault = FAULTS[Math.floor(random.fraction() * FAULTS.length)] ?? "program killed";
      const at = performance.now();
      const next = await fleet.inflict(fault, last);
      if (fault === "program killed" || fault === "supervisor killed") crashesMs.push(performance.now() - at);
      expect(lives(last.pid)).toBe(false);
      expect(next.supervisor).not.toBe(last.supervisor);
      fleet.mend(fault, last);
    }
    await fleet.settled();
    expect(fleet.overlaps).toEqual([]);
    expect(await fleet.stop()).toEqual({ programs: [], keys: [] });
    // The lease alone would take 4 s.
    const sorted = crashesMs.sort((a, b) => a - b);
    expect(sorted[sorted.length >> 1] ?? 0).toBeLessThan(2000);
  },
);
