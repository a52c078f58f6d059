import { describe, expect, it } from "vitest";
import { findEtcd } from "../../scripts/lib/etcd.mjs";
import { root } from "../support/process.ts";
import { faultKinds, runRobustness } from "./src/main.ts";

const seed = 1;
const limitMs = 240_000;
const dir = `${root}tests/robustness/nodes/`;
const silent = (): void => undefined;

/** One kind of each sort, none of them long; the whole harness is `npm run robustness`. */
const kinds = [
  "etcd-leader-killed",
  "member-isolated",
  "client-cut-from-all",
  "node-stopped",
  "compacted",
  "no-space",
  "key-deleted",
];

// It tells apart who opened a connection by looking into /proc.
describe.runIf(process.platform === "linux")("three nodes on a cluster of three", () => {
  it(
    `keep every promise through ${kinds.join(", ")}`,
    async () => {
      const settings = { ...(await findEtcd()), dir, seed, minutes: 3, worlds: 1, rounds: 2 * kinds.length };
      const report = await runRobustness({ ...settings, only: kinds, tell: silent });
      expect(report.violationList).toEqual([]);
      expect(Object.keys(report.kinds)).toEqual(kinds.toSorted());
      expect(report.faults).toBe(2 * kinds.length);
      expect(report.terms).toBeGreaterThan(kinds.length);
      expect(report.guardedWrites.accepted).toBeGreaterThan(kinds.length);
    },
    limitMs,
  );

  it(
    "keep their leader while its certificates and their authority are replaced and every member is restarted",
    async () => {
      const settings = { ...(await findEtcd()), dir, seed, minutes: 2, rounds: 2 };
      const secure = ["ca-replaced", "certificates-rotated"];
      const report = await runRobustness({ ...settings, only: secure, worlds: 1, tell: silent });
      expect(report.violationList).toEqual([]);
      expect(report.faults).toBe(2);
    },
    limitMs,
  );

  it(
    "see two holders of a lock of etcdctl, which does not stop the program of a holder that lost it",
    async () => {
      const settings = { ...(await findEtcd()), dir, seed, minutes: 2, worlds: 1, rounds: 2 };
      const report = await runRobustness({ ...settings, peer: "etcdctl-lock", only: ["node-stopped"], tell: silent });
      expect(report.overlaps).toBeGreaterThan(0);
    },
    limitMs,
  );
});

describe("the kinds of faults", () => {
  it("each have a name of their own, and say what is done", () => {
    const names = faultKinds.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(faultKinds.filter(({ says }) => says.length < 20)).toEqual([]);
  });
});
