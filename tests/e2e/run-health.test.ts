import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { NodeProcess } from "../support/process.ts";
import { type RealEtcd, startEtcd } from "../support/real-etcd.ts";
import { until } from "../support/until.ts";
import { lives, started, supervise } from "./supervised.ts";
import { keys, tenure } from "./tenure.ts";

let store: RealEtcd;
let dir: string;
beforeAll(async () => void (store = await startEtcd()));
afterAll(() => store.stop());
beforeEach(async () => void (dir = await mkdtemp(join(tmpdir(), "tenure-health-"))));
afterEach(() => rm(dir, { recursive: true }));

/** What makes a node healthy, for as long as it is there. */
const sign = (node: string): string => join(dir, node);

function supervised(node: string, ...more: string[]): NodeProcess {
  const often = ["--health-interval", "0.1", "--health-timeout", "5"];
  const flags = ["--ttl", "60", "--on-exit", "resign", "--health-cmd", `test -e ${sign(node)}`, ...often, ...more];
  return supervise(store, "fit", { flags });
}

const queue = async (): Promise<number> => (await keys(store, "fit/")).length;
/** Waits until so many candidates are in the queue. */
const queued = (count: number) => until(async () => (await queue()) === count, { what: `${count} candidates` });

describe("tenure run --health-cmd", () => {
  it("does not stand while it is unfit, leaves the queue when it is, and comes back", async () => {
    await writeFile(sign("a"), "");
    await using first = supervised("a");
    const { pid } = await started(first);
    await using second = supervised("b");
    await writeFile(sign("b"), "");
    await second.errorLine(/tenure: healthy/);
    await queued(2);
    await rm(sign("b"));
    await second.errorLine(/tenure: unhealthy: the health command exited with 1/);
    await queued(1);
    await writeFile(sign("b"), "");
    await queued(2);
    expect(lives(pid)).toBe(true);
  });

  it("steps down when it is unfit and another one stands by, and stands again when it is fit", async () => {
    await writeFile(sign("a"), "");
    await writeFile(sign("b"), "");
    await using first = supervised("a");
    const { pid } = await started(first);
    await using second = supervised("b");
    await queued(2);
    await rm(sign("a"));
    await first.errorLine(/unhealthy: the health command exited with 1; another node stands by/);
    const next = await started(second);
    expect([lives(pid), lives(next.pid)]).toEqual([false, true]);
    await queued(1);
    await writeFile(sign("a"), "");
    await queued(2);
    expect(lives(next.pid)).toBe(true);
  });

  it("goes on leading unfit while nobody else could, until somebody can", async () => {
    await writeFile(sign("a"), "");
    await using first = supervised("a");
    const { pid } = await started(first);
    await rm(sign("a"));
    await first.errorLine(/tenure: unhealthy/);
    await using second = supervised("b");
    expect([lives(pid), await queue()]).toEqual([true, 1]);
    await writeFile(sign("b"), "");
    await started(second);
    expect(lives(pid)).toBe(false);
  });

  it("refuses checks that cannot be", async () => {
    const { code, stderr } = await tenure(["run", "fit", "--health-tcp", "nowhere", "--", "true"]);
    expect([code, stderr]).toEqual([
      64,
      expect.stringMatching(/^tenure: --health-tcp: "nowhere" is no PORT or HOST:PORT/),
    ]);
  });
});
