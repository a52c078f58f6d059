import { constants } from "node:os";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RealEtcd, startEtcd } from "../support/real-etcd.ts";
import { until } from "../support/until.ts";
import { lives, started, supervise } from "./supervised.ts";
import { keys, processesWith } from "./tenure.ts";

const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"] as const;
const codeOf = (signal: NodeJS.Signals): number => 128 + constants.signals[signal];

describe("signals to tenure run", () => {
  let store: RealEtcd;
  beforeAll(async () => void (store = await startEtcd()));
  afterAll(() => store.stop());

  it.each(SIGNALS)("%s reaches the program once, and its exit code is ours", async (signal) => {
    const name = signal.slice(3);
    const wait = "echo started $$ $TENURE_TOKEN; while [ $n = 0 ]; do sleep 0.02; done";
    const program = `n=0; trap 'n=$((n+1))' ${name}; ${wait}`;
    await using supervisor = supervise(store, name, {
      program: ["sh", "-c", `${program}; sleep 0.3; echo got $n; exit 9`],
    });
    await started(supervisor);
    supervisor.signal(signal);
    expect(await supervisor.exit()).toMatchObject({ code: 9, stdout: expect.stringContaining("got 1\n") });
    expect(await keys(store, `${name}/`)).toEqual([]);
  });

  it.each(SIGNALS)("%s ends a candidate that waits, at once, with its key gone", async (signal) => {
    const name = `waits-${signal}`;
    await using leader = supervise(store, name);
    await started(leader);
    await using standby = supervise(store, name);
    await until(async () => (await keys(store, `${name}/`)).length === 2, { what: "second candidate" });
    const sentAt = performance.now();
    standby.signal(signal);
    expect(await standby.exit()).toMatchObject({ code: codeOf(signal), stdout: "", stderr: "" });
    // 200 ms are promised; a busy machine gets some more.
    expect(performance.now() - sentAt).toBeLessThan(600);
    expect(await keys(store, `${name}/`)).toHaveLength(1);
  });

  it("is told to stop with --stop-signal when the supervisor gets SIGTERM", async () => {
    const program = "trap 'echo got INT; exit 0' INT; echo started $$ $TENURE_TOKEN; while :; do sleep 0.02; done";
    await using supervisor = supervise(store, "own", {
      flags: ["--stop-signal", "INT"],
      program: ["sh", "-c", program],
    });
    await started(supervisor);
    supervisor.signal("SIGTERM");
    expect(await supervisor.exit()).toMatchObject({ code: 0, stdout: expect.stringContaining("got INT\n") });
  });

  it("SIGUSR1 and SIGUSR2 are passed on and end nothing", async () => {
    const program =
      "trap 'echo one' USR1; trap 'echo two' USR2; echo started $$ $TENURE_TOKEN; while :; do sleep 0.02; done";
    await using supervisor = supervise(store, "users", { program: ["sh", "-c", program] });
    const { pid } = await started(supervisor);
    supervisor.signal("SIGUSR1");
    await supervisor.line(/^one$/);
    supervisor.signal("SIGUSR2");
    await supervisor.line(/^two$/);
    expect(lives(pid)).toBe(true);
  });

  it("a second one kills the program at once", async () => {
    const program = "trap 'echo asked' TERM; echo started $$ $TENURE_TOKEN; while :; do sleep 0.02; done";
    await using supervisor = supervise(store, "twice", {
      flags: ["--ttl", "60", "--stop-timeout", "20"],
      program: ["sh", "-c", program],
    });
    const { pid } = await started(supervisor);
    supervisor.signal("SIGTERM");
    await supervisor.line(/^asked$/);
    supervisor.signal("SIGTERM");
    expect(await supervisor.exit()).toMatchObject({ code: 137 });
    expect(lives(pid)).toBe(false);
    expect(await keys(store, "twice/")).toEqual([]);
  });

  it("leave nothing behind and start nothing, whenever they come", async () => {
    // From before the first line of the program ran to long after it was started.
    for (let afterMs = 150; afterMs <= 750; afterMs += 30) {
      const mark = `sweep-${afterMs}`;
      await using supervisor = supervise(store, "sweep", { env: { TENURE_TEST_MARK: mark } });
      const sentAt = performance.now() + afterMs;
      await until(() => performance.now() >= sentAt, { what: "moment", intervalMs: 1 });
      supervisor.signal("SIGTERM");
      const { code, signal } = await supervisor.exit();
      // Node itself may not have been ready for a signal yet.
      expect(code === 143 || signal === "SIGTERM").toBe(true);
      await until(() => processesWith("TENURE_TEST_MARK", mark).length === 0, { what: "end of all processes" });
      expect(await keys(store, "sweep/")).toEqual([]);
    }
  });
});
