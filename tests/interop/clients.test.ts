// What clients of other makes see of the embedded etcd is what they see of etcd.
import { startEmbed } from "@tenure/embed";
import { describe, expect, it } from "vitest";
import { findGoPeer } from "../../scripts/lib/go.mjs";
import { launch } from "../support/children.ts";
import { startEtcd } from "../support/real-etcd.ts";
import { settled } from "../support/until.ts";
import { childLines } from "./support/child-lines.ts";
import { etcd3Tour } from "./support/etcd3-tour.ts";
import { skipGo } from "./support/go.ts";
import { connectNode, grpcJs, type RpcStack, rpcTour } from "./support/rpc-tour.ts";

const timeoutMs = 60_000;

/** Makes the same tour on etcd and on the embedded one, which both are empty. */
async function onBoth(
  tour: (endpoint: string) => Promise<readonly string[]>,
): Promise<{ readonly etcd: readonly string[]; readonly embed: readonly string[] }> {
  await using real = await startEtcd({ args: ["--bcrypt-cost=4"] });
  await using own = await startEmbed({ firstRevision: 1n });
  const limited = (endpoint: string): Promise<readonly string[]> =>
    settled(tour(endpoint), { timeoutMs: timeoutMs / 2, what: `end of the tour on ${endpoint}` });
  return { etcd: await limited(real.endpoint), embed: await limited(own.endpoint) };
}

async function goTour(endpoint: string): Promise<readonly string[]> {
  const output = childLines(launch(await findGoPeer("tests/interop/tour.go"), [endpoint], { env: process.env }));
  if ((await output.exit(timeoutMs / 2)) !== 0) await output.count(Infinity);
  return output.lines;
}

const withStack = (connect: (endpoint: string) => RpcStack) => async (endpoint: string) => {
  const stack = connect(endpoint);
  try {
    return await rpcTour(stack);
  } finally {
    stack.close();
  }
};

describe("sees of the embedded etcd what it sees of etcd:", { timeout: timeoutMs }, () => {
  it("npm etcd3: keys, watch, lease, lock, election, STM, users", async () => {
    const { etcd, embed } = await onBoth(etcd3Tour);
    expect(embed).toEqual(etcd);
    const names = embed.map((line) => line.replace(/:.*/, "")).join(", ");
    expect(names).toBe(
      "put, get, all, sorted, txn, deleted, events, lease, revoked, second lock, after release, leader, proclaimed, " +
        "succession, stm, role, nobody, ann, wrong password, users",
    );
  });

  it.each([
    ["@grpc/grpc-js", grpcJs],
    ["@connectrpc/connect-node", connectNode],
  ])("%s: every kind of call, refusals with their codes", async (_, connect) => {
    const { etcd, embed } = await onBoth(withStack(connect));
    expect(embed).toEqual(etcd);
    expect(embed.length).toBeGreaterThan(25);
  });

  it.skipIf(skipGo)(
    "Go's client: keys, watch, lease, lock, election, STM, upkeep, users",
    { timeout: 1_500_000 },
    async () => {
      await findGoPeer("tests/interop/tour.go");
      const { etcd, embed } = await onBoth(goTour);
      expect(embed).toEqual(etcd);
      expect(embed.at(-1)).toBe("root: 1 ann/ ann0");
    },
  );
});
