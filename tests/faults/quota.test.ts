import { EtcdError } from "@tenure/etcd";
import { connect } from "tenure";
import { describe, expect, it } from "vitest";
import { startEtcd } from "../support/real-etcd.ts";
import { settled, until } from "../support/until.ts";
import { patienceMs, standing, testTimeoutMs } from "./witness.ts";

const ttlMs = 2000;
const MIB = 1024 * 1024;

// etcd refuses every write that may grow it then, and takes keep-alives and deletions.
describe("an etcd whose quota is used up", { timeout: testTimeoutMs }, () => {
  it("costs the leader nothing, lets it hand over, and refuses new candidates by that reason", async () => {
    await using etcd = await startEtcd({ args: [`--quota-backend-bytes=${8 * MIB}`] });
    await using leading = connect({ endpoints: [etcd.endpoint] });
    await using waiting = connect({ endpoints: [etcd.endpoint] });
    await using late = connect({ endpoints: [etcd.endpoint] });
    const first = await leading.election("full", { ttlMs }).campaign("first");
    const campaign = waiting.election("full", { ttlMs }).campaign("second");
    await standing(late, "full", 2);
    await until(() => full(() => late.etcd.kv.put("bulk", Buffer.alloc(MIB))), { what: "alarm" });

    const enough = performance.now() + 2 * ttlMs;
    await until(() => first.signal.aborted || performance.now() > enough, { what: "end", timeoutMs: patienceMs });
    expect([first.held, first.signal.aborted]).toEqual([true, false]);
    await expect(first.proclaim("x")).rejects.toMatchObject({ code: "resource-exhausted" });
    expect(first.held).toBe(true);
    await expect(late.election("full", { ttlMs }).campaign("late")).rejects.toMatchObject({
      code: "resource-exhausted",
    });

    await first.resign();
    const second = await settled(campaign, { what: "successor", timeoutMs: patienceMs });
    expect(second.held).toBe(true);
    await second.resign();
    await standing(late, "full", 0);
  });
});

/** Whether the store takes no more of it. */
function full(write: () => Promise<unknown>): Promise<boolean> {
  return write().then(
    () => false,
    (error: unknown) => EtcdError.from(error).code === "resource-exhausted",
  );
}
