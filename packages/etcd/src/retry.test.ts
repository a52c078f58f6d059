import { afterEach, describe, expect, it } from "vitest";
import { EtcdError } from "./errors.ts";
import { RangeResponseSchema } from "./gen/rpc_pb.ts";
import { ManualClock } from "./runtime/manual-clock.ts";
import { failure } from "./testing/failure.ts";
import { answer, clientOf, closeClients, deadEndpoint, FakeServer, trailersOnly } from "./testing/fake-server.ts";

afterEach(closeClients);

const UNAVAILABLE = 14;

/** Time that passes as soon as somebody waits for it. */
class HastyClock extends ManualClock {
  readonly waits: number[] = [];

  override after(delayMs: number, callback: () => void): () => void {
    this.waits.push(delayMs);
    // What waits for an answer waits long; a pause does not.
    if (delayMs <= 500) setImmediate(() => this.advance(delayMs));
    return super.after(delayMs, callback);
  }
}

describe("a read", () => {
  it.each(["etcdserver: leader changed", "etcdserver: request timed out", "etcdserver: no leader"])(
    "is asked again until the cluster can answer: %s",
    async (message) => {
      await using server = await FakeServer.start((call) => {
        if (server.calls.length < 4) trailersOnly(call, UNAVAILABLE, message);
        else answer(call, RangeResponseSchema, { count: 3n });
      });
      const clock = new HastyClock();
      expect((await clientOf([server], clock).kv.range("k")).count).toBe(3n);
      const pauses = clock.waits.filter((waitMs) => waitMs <= 500);
      expect(pauses.map((waitMs) => Math.round(waitMs * 10) / 10)).toEqual([12.5, 25, 50]);
    },
  );

  it("is asked again when its answer was lost with the connection", async () => {
    await using server = await FakeServer.start((call) => {
      if (server.calls.length === 1) call.stream.session?.destroy();
      else answer(call, RangeResponseSchema, { count: 3n });
    });
    expect((await clientOf([server]).kv.range("k")).count).toBe(3n);
  });

  it("is given up at its deadline, with what was wrong", async () => {
    await using server = await FakeServer.start((call) => {
      clock.advance(90);
      trailersOnly(call, UNAVAILABLE, "etcdserver: leader changed");
    });
    const clock = new ManualClock();
    const read = failure(clientOf([server], clock).kv.range("k", { timeoutMs: 100 }));
    expect((await read).message).toContain("leader changed");
    expect(server.calls).toHaveLength(1);
  });

  it("ends when its signal aborts in a pause", async () => {
    await using server = await FakeServer.start((call) => {
      trailersOnly(call, UNAVAILABLE, "etcdserver: leader changed");
      setImmediate(() => controller.abort());
    });
    const controller = new AbortController();
    const clock = new ManualClock();
    const error = await failure(clientOf([server], clock).kv.range("k", { signal: controller.signal }));
    expect(error.code).toBe("aborted");
    expect(clock.due).toEqual([]);
  });

  it("fails at once when nobody can be reached", async () => {
    const clock = new HastyClock();
    const error = await failure(clientOf([await deadEndpoint()], clock).kv.range("k"));
    expect(error).toMatchObject({ code: "unavailable", mayHaveApplied: false });
    expect(clock.now()).toBe(0);
  });
});

describe("a write", () => {
  it("is never repeated once it may have been carried out", async () => {
    await using server = await FakeServer.start((call) =>
      trailersOnly(call, UNAVAILABLE, "etcdserver: leader changed"),
    );
    const error = await failure(clientOf([server]).kv.put("k", "v"));
    expect(error).toBeInstanceOf(EtcdError);
    expect(server.calls).toHaveLength(1);
  });
});
