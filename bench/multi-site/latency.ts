import { until } from "../../tests/support/until.ts";
import { linkRoundTrips } from "./link.ts";
import { type Row, type RowHead, rowOf } from "./rows.ts";
import type { World } from "./world.ts";

const leaseMs = 5_000;
const leases = 5;
const orderTimeoutMs = 120_000;
const eventTimeoutMs = 20_000;

/** What campaigns, hand-overs and keep-alives take while nothing is broken. */
export async function measureLatency(world: World, rounds: number): Promise<Row[]> {
  const [leading, other, third] = world.topology.nodeSites;
  const rows = third === undefined ? [] : await linkRows(world, rounds);
  // At the same time: a node waits for the network nearly all the while.
  const campaigns = [leading, other].map(({ site }) => campaignRows(world, site, rounds));
  const handOvers = [
    handOverRows(world, [leading.site, other.site], rounds),
    ...(third === undefined ? [] : [handOverRows(world, [other.site, third.site], rounds)]),
  ];
  rows.push(...(await Promise.all([...campaigns, ...handOvers])).flat());
  return rows;
}

async function linkRows(world: World, rounds: number): Promise<Row[]> {
  const { single, crowded } = await linkRoundTrips(world.rttMs, rounds);
  const of = (part: string): RowHead =>
    world.head("a message and its echo; 100 at once", "link between sites", { part, expectedRoundTrips: 1 });
  return [rowOf(of("alone"), single), rowOf(of("100 at once"), crowded)];
}

async function campaignRows(world: World, site: number, rounds: number): Promise<Row[]> {
  const node = await world.node(site, leases);
  const { name } = world.place(site);
  const { all, near } = await world.endpoints(site);
  const { roundTrips } = world;
  const [write, fromNothing, toLeader] = [
    roundTrips.write(site),
    roundTrips.fromNothing(site),
    roundTrips.toLeader(site),
  ];
  for (let seat = 0; seat < leases; seat++) {
    const election = `kept-${node.id}-${seat}`;
    await node.order({ do: "stand", seat, election, ttlMs: leaseMs }, eventTimeoutMs);
  }
  const campaigns = await node.order({ do: "campaign", rounds }, orderTimeoutMs);
  const nothing = { do: "campaign-from-nothing", rounds: Math.ceil(rounds / 2) } as const;
  const nearby = await node.order({ ...nothing, endpoints: near }, orderTimeoutMs);
  const anywhere = await node.order({ ...nothing, endpoints: all }, orderTimeoutMs);
  const kept = await until(
    () => {
      const lines = node.all("kept").filter(({ ttlMs }) => ttlMs === leaseMs);
      return lines.length >= leases && lines;
    },
    { what: "keep-alives", timeoutMs: eventTimeoutMs },
  );
  await world.dismiss([node]);
  const roundTripsMs = kept.map(({ roundTripMs }) => roundTripMs);
  const leftMs = kept.map((line) => line.leftMs);
  const keepAlive = (part: string): RowHead =>
    world.head(`keep-alive; left of a ${leaseMs / 1_000} s lease by then`, name, {
      part,
      expectedRoundTrips: toLeader,
    });
  return [
    rowOf(world.head("campaign, session there", name, { expectedRoundTrips: write }), campaigns),
    rowOf(world.head("connect, session, campaign", name, { expectedRoundTrips: fromNothing }), nearby),
    rowOf(world.head("the same, all members listed", name), anywhere),
    rowOf(keepAlive("round trip"), roundTripsMs),
    rowOf(keepAlive("left"), leftMs, "short"),
  ];
}

/** Two nodes of different sites that resign in turns. */
async function handOverRows(world: World, sites: readonly [number, number], rounds: number): Promise<Row[]> {
  const nodes = await Promise.all(sites.map((site) => world.node(site)));
  const election = `hand-over-${sites.join("-")}`;
  const order = { do: "stand", seat: 0, election, ttlMs: 10_000 } as const;
  const values: [number[], number[]] = [[], []];
  const [first, second] = nodes;
  if (first === undefined || second === undefined) return [];
  await first.order(order, eventTimeoutMs);
  await first.told("elected", () => true, eventTimeoutMs);
  await second.order(order, eventTimeoutMs);
  await second.told("queued", () => true, eventTimeoutMs);
  for (let turn = 0; turn < 2 * rounds; turn++) {
    const [from, to] = turn % 2 === 0 ? [first, second] : [second, first];
    const before = to.all("elected").length;
    const queuedBefore = from.all("queued").length;
    await from.order({ do: "resign", election }, eventTimeoutMs);
    await until(() => to.all("elected").length > before, { what: "hand-over", timeoutMs: eventTimeoutMs });
    const resignedAt = from.all("resigns").at(-1)?.at ?? NaN;
    values[turn % 2 === 0 ? 0 : 1].push((to.all("elected").at(-1)?.at ?? NaN) - resignedAt);
    await from.order(order, eventTimeoutMs);
    await until(() => from.all("queued").length > queuedBefore, { what: "standby", timeoutMs: eventTimeoutMs });
  }
  await world.dismiss(nodes);
  const [here, there] = [world.place(sites[0]).name, world.place(sites[1]).name];
  const expectedRoundTrips = world.roundTrips.handOver(...sites);
  return values.map((each, index) => {
    const part = index === 0 ? "there" : "back";
    return rowOf(world.head("resign until elected", `${here} ↔ ${there}`, { part, expectedRoundTrips }), each);
  });
}
