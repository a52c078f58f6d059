// A node that is measured: a process with the library, that does what it is told. usage: node node.js CONFIG
import { subscribe } from "node:diagnostics_channel";
import { createInterface } from "node:readline";
import {
  type CandidateEvent,
  type Client,
  connect,
  type KeepAliveAnsweredEvent,
  type SessionEvent,
  type Term,
} from "tenure";
import { type Line, type NodeConfig, now, type Order } from "./protocol.ts";

const config = JSON.parse(process.argv[2] ?? "") as NodeConfig;
const ttlMs = 10_000;
/** After so long a client asks all members how they are when it has something to do; soon after it knows. */
const looksMs = 1_100;
const looksForMs = 400;
const settleTimeoutMs = 10_000;
const writeTimeoutMs = 10_000;

const seats = Array.from({ length: config.seats }, () => connect({ endpoints: config.endpoints }));
const terms = new Map<string, Term>();
const ttls = new Map<bigint, number>();
let writing: NodeJS.Timeout | undefined;

subscribe("tenure:candidate:queued", (event) => {
  tell({ t: "queued", election: (event as CandidateEvent).prefix.replace(/\/$/, ""), at: now() });
});
subscribe("tenure:session:granted", (event) => {
  const granted = event as SessionEvent;
  ttls.set(granted.leaseId, granted.ttlMs);
});
subscribe("tenure:keep-alive:answered", (event) => {
  const { leaseId, roundTripMs, leftMs } = event as KeepAliveAnsweredEvent;
  tell({ t: "kept", ttlMs: ttls.get(leaseId) ?? 0, at: now(), roundTripMs, leftMs });
});

const orders = createInterface({ input: process.stdin });
orders.on("line", (text) => {
  const { id, ...order } = JSON.parse(text) as Order & { readonly id: number };
  carryOut(order).then(
    (values) => tell({ t: "done", id, values }),
    (error: unknown) => tell({ t: "failed", id, reason: String(error) }),
  );
});
// Whoever started it is gone, or needs it no more.
orders.on("close", () => process.exit());
await Promise.all(seats.map(settle));
tell({ t: "ready" });

async function carryOut(order: Order): Promise<readonly number[]> {
  switch (order.do) {
    case "campaign":
      return campaigns(order.rounds);
    case "campaign-from-nothing":
      return campaignsFromNothing(order.rounds, order.endpoints);
    case "stand":
      void stand(order.seat, order.election, order.ttlMs);
      return [];
    case "resign":
      tell({ t: "resigns", election: order.election, at: now() });
      await terms.get(order.election)?.resign();
      return [];
    case "write":
      writing = setInterval(() => void write(), order.everyMs);
      return [];
    case "write-no-more":
      clearInterval(writing);
      return [];
  }
}

/** A client begins at any member; after this it knows which is the nearest. */
async function settle(client: Client): Promise<void> {
  const election = client.election(`settle-${process.pid}`);
  await election.leader({ timeoutMs: settleTimeoutMs });
  await pause(looksMs);
  await election.leader({ timeoutMs: settleTimeoutMs });
  await pause(looksForMs);
}

async function campaigns(rounds: number): Promise<number[]> {
  const client = seatOf(0);
  const keeper = await client.election(`keeper-${process.pid}`, { ttlMs }).campaign("");
  const values: number[] = [];
  for (let round = 0; round <= rounds; round++) {
    const election = client.election(`campaign-${process.pid}`, { ttlMs });
    const startedAt = now();
    const term = await election.campaign("");
    values.push(now() - startedAt);
    await term.resign();
  }
  await keeper.resign();
  return values.slice(1); // the first one compiles the code
}

async function campaignsFromNothing(rounds: number, endpoints: readonly string[]): Promise<number[]> {
  const values: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const startedAt = now();
    const client = connect({ endpoints });
    await client.election(`nothing-${process.pid}`, { ttlMs }).campaign("");
    values.push(now() - startedAt);
    await client.close();
  }
  return values;
}

async function stand(seat: number, election: string, leaseMs: number): Promise<void> {
  const term = await seatOf(seat).election(election, { ttlMs: leaseMs }).campaign("");
  tell({ t: "elected", election, at: now() });
  terms.set(election, term);
  term.signal.addEventListener("abort", () => tell({ t: "over", election, at: now() }), { once: true });
}

async function write(): Promise<void> {
  try {
    await seatOf(0).etcd.kv.put("written", "x", { timeoutMs: writeTimeoutMs });
    tell({ t: "wrote", at: now() });
  } catch {
    // What counts is when one gets through again.
  }
}

function seatOf(seat: number): Client {
  const client = seats[seat];
  if (client === undefined) throw new Error(`there is no seat ${seat}`);
  return client;
}

function pause(durationMs: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, durationMs));
}

function tell(line: Line): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
