import { pause } from "../tests/support/until.ts";
import { etcd3, floor, go, type Question, type Stage, tenure, type Variant } from "./support/stage.ts";

const sizes = [10, 100, 1_000];
const goShared: Variant = { name: "go, one session", peer: "go", shared: true };
const roundsMax = 5;
const settleMs = 1_500;
/** What keeps a lease alive comes every third of this. */
const ttlSeconds = 10;
const idleMs = 10_000;

/** What it costs one process to win many elections, and to hold them. */
export const manyElections: Question = {
  name: "many-elections",
  overLinks: false,
  measure: async (stage) => {
    const variants = new Map([tenure, go, goShared, etcd3, floor].map((variant) => [variant, variant]));
    for (const size of sizes) {
      const rounds = Math.min(stage.rounds, roundsMax);
      const what = `${size} elections in one process`;
      await stage.alternate(what, variants, rounds, (variant) => held(stage, variant, size, what));
    }
  },
};

async function held(stage: Stage, variant: Variant, elections: number, what: string): Promise<void> {
  const others = await counters(stage);
  const contestant = stage.start(variant, { ttlSeconds });
  // Connected and warm, as a process is that has been running.
  await contestant.order({ do: "campaign", rounds: 20 });
  const before = await counters(stage);
  const took = await contestant.order({ do: "hold", elections, shared: variant.shared ?? false });
  stage.record(`${what}: win all`, variant, "ms", took);
  await pause(settleMs);
  const after = await counters(stage);
  stage.record(`${what}: requests`, variant, "requests", [after.requests - before.requests]);
  stage.record(`${what}: streams`, variant, "streams", [after.streams - others.streams]);
  stage.record(`${what}: leases`, variant, "leases", [after.leases - before.leases]);
  stage.record(`${what}: memory`, variant, "MB", [contestant.residentMb]);
  if (elections === sizes.at(-1)) {
    const cpuMs = contestant.cpuMs;
    const bytes = await transferred(stage);
    await pause(idleMs);
    stage.record(`${what}: CPU while nothing happens`, variant, "%", [((contestant.cpuMs - cpuMs) / idleMs) * 100]);
    const rate = ((await transferred(stage)) - bytes) / (idleMs / 1_000);
    stage.record(`${what}: traffic while nothing happens`, variant, "B/s", [rate]);
  }
  await stage.dismiss([contestant]);
}

/** Requests and leases so far, and streams that are open. */
async function counters(stage: Stage): Promise<{ requests: number; streams: number; leases: number }> {
  const stream = 'grpc_type="bidi_stream"';
  const [requests, begun, ended, leases] = await Promise.all([
    stage.store.metric("grpc_server_started_total", 'grpc_type="unary"'),
    stage.store.metric("grpc_server_started_total", stream),
    stage.store.metric("grpc_server_handled_total", stream),
    stage.store.metric("etcd_debugging_lease_granted_total"),
  ]);
  return { requests, streams: begun - ended, leases };
}

/** Bytes of messages in both directions, without HTTP/2's own. */
async function transferred({ store }: Stage): Promise<number> {
  const [sent, received] = await Promise.all([
    store.metric("etcd_network_client_grpc_sent_bytes_total"),
    store.metric("etcd_network_client_grpc_received_bytes_total"),
  ]);
  return sent + received;
}
