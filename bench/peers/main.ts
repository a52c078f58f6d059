// A process that elects with one of the libraries for Node, and is told what to do on its stdin: see protocol.ts.
import { createInterface } from "node:readline";
import { pause } from "../../tests/support/until.ts";
import type { Connect, Held, PeerClient } from "./peer.ts";
import { holdsAtOnce, type Line, now, type Order, type PeerConfig } from "./protocol.ts";

const config = JSON.parse(process.argv[2] ?? "{}") as PeerConfig;
const connect = await connectOf(config.peer);
const client = connect(config);
const held = new Map<string, Held>();
const gates = new Map<string, { readonly opened: Promise<void>; readonly open: () => void }>();
let names = 0;

const lines = createInterface({ input: process.stdin });
lines.on("line", (text) => {
  const { id, ...order } = JSON.parse(text) as Order & { readonly id: number };
  carryOut(order).then(
    (values) => tell({ t: "done", id, values }),
    (error: unknown) => tell({ t: "failed", id, reason: String(error) }),
  );
});
lines.on("close", () => process.exit());

/** Only the one that is used is loaded. */
async function connectOf(peer: PeerConfig["peer"]): Promise<Connect> {
  if (peer === "tenure") return (await import("./tenure.ts")).connectTenure;
  if (peer === "etcd3") return (await import("./etcd3.ts")).connectEtcd3;
  if (peer === "floor") return (await import("./floor.ts")).connectFloor;
  throw new Error(`${peer} is no library for Node`);
}

async function carryOut(order: Order): Promise<number[]> {
  switch (order.do) {
    case "ready":
      await client.seat(order.seat).ready();
      return [];
    case "campaign":
      return series(order.rounds, () => campaign(client));
    case "from-nothing":
      return series(order.rounds, fromNothing);
    case "stand": {
      const startedAt = now();
      void stand(order.election, order.seat, order.value);
      return [startedAt];
    }
    case "resign": {
      const startedAt = now();
      await heldBy(order.election, order.seat).resign();
      return [startedAt];
    }
    case "proclaim":
      return proclaim(heldBy(order.election, order.seat), order.rounds, order.gapMs);
    case "proclaim-one": {
      const startedAt = now();
      await heldBy(order.election, order.seat).proclaim(order.value);
      return [startedAt];
    }
    case "observe": {
      const { election } = order;
      await client.observe(election, (value) => tell({ t: "leader", election, value, at: now() }));
      return [];
    }
    case "observe-many":
      return observeMany(order.election, order.observers);
    case "hold":
      return hold(order.elections, order.shared);
    case "queue":
      void queue(order.election, order.candidates);
      return [];
    case "drain":
      gateOf(order.election).open();
      return [now()];
  }
}

async function series(rounds: number, measure: () => Promise<number>): Promise<number[]> {
  const values: number[] = [];
  for (let round = 0; round < rounds; round++) values.push(await measure());
  return values;
}

async function campaign(by: PeerClient): Promise<number> {
  const name = newName();
  const startedAt = now();
  const leadership = await by.seat(0).campaign(name, "value");
  const tookMs = now() - startedAt;
  await leadership.resign();
  return tookMs;
}

async function fromNothing(): Promise<number> {
  const name = newName();
  const startedAt = now();
  const own = connect(config);
  const leadership = await own.seat(0).campaign(name, "value");
  const tookMs = now() - startedAt;
  await leadership.resign();
  await own.close();
  return tookMs;
}

async function stand(election: string, seat: number, value: string): Promise<void> {
  const leadership = await client.seat(seat).campaign(election, value);
  const at = now();
  held.set(`${seat} ${election}`, leadership);
  tell({ t: "elected", election, seat, at });
}

async function proclaim(leadership: Held, rounds: number, gapMs: number): Promise<number[]> {
  const values: number[] = [];
  for (let round = 0; round < rounds; round++) {
    values.push(now());
    await leadership.proclaim(`value-${round}`);
    values.push(now());
    if (gapMs > 0) await pause(gapMs);
  }
  return values;
}

async function observeMany(election: string, observers: number): Promise<number[]> {
  const heard = new Map<string, number>();
  const hear = (value: string): void => {
    const count = (heard.get(value) ?? 0) + 1;
    heard.set(value, count);
    if (count === observers) tell({ t: "heard", election, value, at: now() });
  };
  await Promise.all(Array.from({ length: observers }, () => client.observe(election, hear)));
  return [];
}

async function hold(elections: number, shared: boolean): Promise<number[]> {
  const startedAt = now();
  let begun = 0;
  const win = async (): Promise<void> => {
    while (begun < elections) {
      const seat = begun++;
      await client.seat(shared ? 0 : seat).campaign(newName(), "value");
    }
  };
  await Promise.all(Array.from({ length: Math.min(elections, holdsAtOnce) }, win));
  return [now() - startedAt];
}

async function queue(election: string, candidates: number): Promise<void> {
  const { opened } = gateOf(election);
  await Promise.all(
    Array.from({ length: candidates }, async (_, index) => {
      const leadership = await client.seat(index).campaign(election, "value");
      await opened;
      await leadership.resign();
    }),
  );
  tell({ t: "drained", election, at: now() });
}

function gateOf(election: string): { readonly opened: Promise<void>; readonly open: () => void } {
  const known = gates.get(election);
  if (known !== undefined) return known;
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  const gate = { opened, open };
  gates.set(election, gate);
  return gate;
}

function heldBy(election: string, seat: number): Held {
  const leadership = held.get(`${seat} ${election}`);
  if (leadership === undefined) throw new Error(`seat ${seat} does not lead ${election}`);
  return leadership;
}

function newName(): string {
  return `election/${process.pid}-${++names}`;
}

function tell(line: Line): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
