import { type Proxy, startProxy } from "../tests/support/proxy.ts";
import { pause } from "../tests/support/until.ts";
import { now } from "./peers/protocol.ts";
import type { Contestant } from "./support/contestant.ts";
import type { Question, Stage, Variant } from "./support/stage.ts";
import type { StackName } from "./transport/protocol.ts";

const stacks: readonly StackName[] = ["tenure", "grpc-js", "connect-node", "node:http2"];
/** Those that connect again; the bare one does not. */
const lasting = stacks.filter((name) => name !== "node:http2");
const roundsMax = 5;
const warmUps = 2_000;
const single = 300;
const crowded = 2_000;
const crowd = 64;
/** How long etcd cannot be reached, and how often. */
const outages = [
  { outageMs: 200, times: 3 },
  { outageMs: 1_000, times: 3 },
  { outageMs: 5_000, times: 1 },
  { outageMs: 15_000, times: 1 },
];
const frozenMs = 3_000;
const deadlineMs = 1_000;
const steadyMs = 300;
const lookOutMs = 50;

/** How Tenure's own transport compares with the gRPC stacks that there are for Node. */
export const transport: Question = {
  name: "transport",
  overLinks: false,
  measure: async (stage) => {
    await speed(stage);
    await breaks(stage);
  },
};

async function speed(stage: Stage): Promise<void> {
  const { endpoint } = stage;
  const processes = new Map(stacks.map((stack) => [variantOf(stack), stage.startStack(stack, { stack, endpoint })]));
  for (const process of processes.values()) await process.order({ do: "calls", calls: warmUps, inFlight: crowd });
  const rounds = Math.min(stage.rounds, stage.quick ? 2 : roundsMax);
  await stage.alternate("a call of etcd", processes, rounds, async (variant, process) => {
    const [, cpuMs = NaN, ...took] = await process.order({ do: "calls", calls: single, inFlight: 1 });
    stage.record("one put at a time", variant, "ms", took);
    stage.record("one put at a time: CPU of a call", variant, "µs", [(cpuMs * 1_000) / single]);
    const [inAllMs = NaN, crowdCpuMs = NaN] = await process.order({ do: "calls", calls: crowded, inFlight: crowd });
    stage.record(`${crowd} puts at a time`, variant, "calls/s", [(crowded / inAllMs) * 1_000]);
    stage.record(`${crowd} puts at a time: CPU of a call`, variant, "µs", [(crowdCpuMs * 1_000) / crowded]);
  });
  await stage.dismiss([...processes.values()]);
}

/** All meet the same break at the same time, each behind a proxy of its own. */
async function breaks(stage: Stage): Promise<void> {
  const proxies: Proxy[] = [];
  try {
    const processes = new Map<Variant, Contestant>();
    for (const stack of lasting) {
      const proxy = await startProxy(stage.endpoint);
      proxies.push(proxy);
      const process = stage.startStack(stack, { stack, endpoint: proxy.endpoint });
      processes.set(variantOf(stack), process);
      await process.order({ do: "calls", calls: warmUps, inFlight: crowd });
      await process.order({ do: "keep-calling", timeoutMs: deadlineMs });
    }
    for (const { outageMs, times } of stage.quick ? outages.slice(0, 1) : outages) {
      for (let time = 0; time < (stage.quick ? 1 : times); time++) await outage(stage, processes, proxies, outageMs);
    }
    await freeze(stage, processes, proxies);
  } finally {
    await Promise.all(proxies.map((proxy) => proxy.stop()));
  }
}

async function outage(
  stage: Stage,
  processes: ReadonlyMap<Variant, Contestant>,
  proxies: readonly Proxy[],
  outageMs: number,
): Promise<void> {
  stage.tell(`transport: no connection for ${outageMs / 1_000} s`);
  for (const proxy of proxies) proxy.cut();
  await pause(outageMs);
  const question = `no connection for ${outageMs / 1_000} s: from then on until a call is answered`;
  await answered(stage, processes, proxies, question);
}

/** Connections stay open and new ones are taken, but nothing gets through. */
async function freeze(
  stage: Stage,
  processes: ReadonlyMap<Variant, Contestant>,
  proxies: readonly Proxy[],
): Promise<void> {
  stage.tell(`transport: etcd frozen for ${frozenMs / 1_000} s`);
  for (const proxy of proxies) proxy.blackhole();
  const thaw = pause(frozenMs);
  const at = now();
  const question = `etcd frozen: how long a call with a deadline of ${deadlineMs / 1_000} s takes`;
  await each(processes, async (variant, process) => {
    stage.record(question, variant, "ms", await process.order({ do: "failed-after", at }));
  });
  await thaw;
  const then = `etcd frozen for ${frozenMs / 1_000} s: from then on until a call is answered`;
  await answered(stage, processes, proxies, then);
}

/** Ends the break, and waits until all have had an answer. */
async function answered(
  stage: Stage,
  processes: ReadonlyMap<Variant, Contestant>,
  proxies: readonly Proxy[],
  question: string,
): Promise<void> {
  // They are told to look out before it ends, or an answer could come too soon.
  const at = now();
  let healedAt = Infinity;
  const all = each(processes, async (variant, process) => {
    const [answeredAt = NaN] = await process.order({ do: "answered-after", at });
    stage.record(question, variant, "ms", [answeredAt - healedAt]);
  });
  await pause(lookOutMs);
  healedAt = now();
  for (const proxy of proxies) proxy.heal();
  await all;
  await pause(steadyMs);
}

async function each(
  processes: ReadonlyMap<Variant, Contestant>,
  ask: (variant: Variant, process: Contestant) => Promise<void>,
): Promise<void> {
  await Promise.all([...processes].map(([variant, process]) => ask(variant, process)));
}

function variantOf(name: StackName): Variant {
  return { name, peer: "floor" };
}
