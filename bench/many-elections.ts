import { pause } from "../tests/support/until.ts";
import { Patience } from "./support/patience.ts";
import { etcd3, floor, go, type Question, type Stage, tenure, type Variant } from "./support/stage.ts";
import type { Contestant } from "./support/contestant.ts";

const sizes = [10, 100, 1_000, 10_000];
const sizesQuick = [10, 1_000];
/** Everything is told of this many; of more only what they take. */
const size = 1_000;
const goShared: Variant = { name: "go, one session", peer: "go", shared: true };
const roundsMax = 3;
const warmUps = 200;
const settleMs = 500;
/** What keeps a lease alive comes every third of this. */
const ttlSeconds = 10;
const idleMs = 10_000;
const idleQuickMs = 3_500;

/** What it costs one process to win many elections, and to hold them. */
export const manyElections: Question = {
  name: "many-elections",
  overLinks: false,
  measure: async (stage) => {
    const patience = new Patience();
    for (const elections of stage.quick ? sizesQuick : sizes) {
      const all = stage.quick ? [tenure, go, etcd3] : [tenure, go, goShared, etcd3, floor];
      const variants = stage.patient(patience, all, `${elections} elections in one process`);
      const rounds = elections === size && !stage.quick ? Math.min(stage.rounds, roundsMax) : 1;
      const what = `${elections} elections in one process`;
      await stage.alternate(what, variants, rounds, async (variant, _, round) => {
        const contestant = await held(stage, variant, elections, what, patience);
        if (elections === size && round === 0 && variant !== floor) await idle(stage, variant, contestant, what);
        await stage.dismiss([contestant]);
      });
    }
  },
};

async function held(
  stage: Stage,
  variant: Variant,
  elections: number,
  what: string,
  patience: Patience,
): Promise<Contestant> {
  const others = await counters(stage);
  const contestant = stage.start(variant, { ttlSeconds });
  // Connected and warm, as a process is that has been running.
  await contestant.order({ do: "campaign", rounds: warmUps });
  const before = await counters(stage);
  const [tookMs = NaN] = await contestant.order({ do: "hold", elections, shared: variant.shared ?? false });
  patience.took(variant, tookMs);
  const growth = { cost: "to win so many elections at once, ms", size: elections };
  stage.record(`${what}: win all`, variant, "ms", [tookMs], growth);
  await pause(settleMs);
  const after = await counters(stage);
  stage.record(`${what}: requests`, variant, "requests", [after.requests - before.requests]);
  stage.record(`${what}: streams`, variant, "streams", [after.streams - others.streams]);
  stage.record(`${what}: leases`, variant, "leases", [after.leases - before.leases]);
  const memory = { cost: "memory of a process that holds so many elections, MB", size: elections };
  stage.record(`${what}: memory`, variant, "MB", [contestant.residentMb], memory);
  return contestant;
}

/** Not for the floor, which keeps nothing alive. */
async function idle(stage: Stage, variant: Variant, contestant: Contestant, what: string): Promise<void> {
  const durationMs = stage.quick ? idleQuickMs : idleMs;
  const cpuMs = contestant.cpuMs;
  const bytes = await transferred(stage);
  await pause(durationMs);
  const cpuShare = (contestant.cpuMs - cpuMs) / durationMs;
  stage.record(`${what}: CPU while nothing happens`, variant, "%", [cpuShare * 100]);
  const rate = ((await transferred(stage)) - bytes) / (durationMs / 1_000);
  stage.record(`${what}: traffic while nothing happens`, variant, "B/s", [rate]);
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
