import { create } from "@bufbuild/protobuf";
import { afterEach, describe, expect, it, vi } from "vitest";
import { Connection } from "./connection.ts";
import { EndpointProbe } from "./endpoint-probe.ts";
import { EndpointRanking } from "./endpoint-ranking.ts";
import { parseEndpoint } from "./endpoint.ts";
import { EtcdError } from "./errors.ts";
import { type StatusResponse, StatusResponseSchema } from "./gen/rpc_pb.ts";
import { ManualClock } from "./runtime/manual-clock.ts";
import { clientOf, closeClients, FakeServer, WAIT } from "./testing/fake-server.ts";

afterEach(closeClients);

/** Members a, b and c; `answers` are what they say. */
async function probed(answers: Record<string, () => Promise<Partial<StatusResponse>>>) {
  const clock = new ManualClock();
  const members = ["a", "b", "c"].map((host) => new Connection(parseEndpoint(host), { clock, connectTimeoutMs: 100 }));
  const ranking = new EndpointRanking(members);
  const asked: string[] = [];
  const probe = new EndpointProbe(ranking, clock, async ({ endpoint: { host } }) => {
    asked.push(host);
    const status = await (answers[host]?.() ?? Promise.resolve({}));
    return create(StatusResponseSchema, { leader: 1n, ...status });
  });
  const look = async (afterMs: number): Promise<string> => {
    clock.advance(afterMs);
    probe.look();
    await new Promise<void>((resolve) => setImmediate(resolve));
    return ranking
      .ordered()
      .map(({ endpoint }) => endpoint.host)
      .join("");
  };
  return { asked, look, clock };
}

describe("the members", () => {
  it("are asked how they are after a second of use, and again when that is old", async () => {
    const { asked, look } = await probed({});
    await look(999);
    expect(asked).toEqual([]);
    await look(1);
    expect(asked).toEqual(["a", "b", "c"]);
    await look(20_000);
    expect(asked).toHaveLength(3);
    await look(15_000);
    expect(asked).toEqual(["a", "b", "c", "a", "b", "c"]);
  });

  it.each([
    ["only learns", () => Promise.resolve({ isLearner: true })],
    ["has no leader", () => Promise.resolve({ leader: 0n })],
    ["does not answer", () => Promise.reject(new EtcdError("deadline-exceeded", "no answer in time"))],
  ])("come last when one of them %s", async (_what, answer) => {
    const { look } = await probed({ b: answer });
    expect(await look(1000)).toBe("acb");
  });

  it("count as well when they do not tell us how they are", async () => {
    const { look } = await probed({ b: () => Promise.reject(new EtcdError("permission-denied", "for root only")) });
    expect(await look(1000)).toBe("abc");
  });

  it("are asked over their own connections, in the wake of a call, without holding it up", async () => {
    await using first = await FakeServer.start();
    await using silent = await FakeServer.start(() => undefined);
    const clock = new ManualClock();
    const client = clientOf([first, silent], clock);
    await client.kv.put("k", "v");
    clock.advance(1000);
    await client.kv.put("k", "v");
    await vi.waitFor(() => expect(silent.paths).toEqual(["Status"]), WAIT);
    expect(first.paths.slice(0, 2)).toEqual(["Put", "Put"]);
  });
});
