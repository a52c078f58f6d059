/**
 * A primary with standbys: each node learns of every change at once and knows two things, who leads and what it is
 * itself. A node that cannot keep its lease stops being primary before anybody else can become it.
 *
 * Run it with `npm run example:primary`; on a real etcd with `npm run example:primary -- http://127.0.0.1:2379`.
 */
import { startEmbed } from "@tenure/embed";
import { type Client, connect, TenureError, type Term } from "tenure";

/** One node of the service. It takes part until the signal aborts. */
async function node(id: string, address: string, etcd: Client, signal: AbortSignal): Promise<void> {
  const election = etcd.election("primary", { ttlMs: 5000 });
  await etcd.ready({ timeoutMs: 5000 }); // fails clearly when no endpoint answers
  const leader = await election.leader();
  console.log(`${id}: starts; ${leader === null ? "nobody leads" : `${leader.value} leads`}`);

  await election.run(
    {
      value: `${id}:${address}`,
      lead: async (term) => {
        console.log(`${id}: I am the PRIMARY now, token ${term.token}`);
        await termEnds(term);
        console.log(`${id}: primary no more (${TenureError.from(term.signal.reason).message})`);
      },
      follow: (current) => {
        console.log(`${id}: standby; ${current === null ? "nobody leads" : `${current.value} is primary`}`);
      },
    },
    { signal },
  );
}

/** Where a real service would serve: until the term ends, whatever ends it. */
function termEnds(term: Term): Promise<void> {
  return new Promise((resolve) => {
    if (term.signal.aborted) resolve();
    term.signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

// From here on: three nodes, a clean stop, and a lease that is lost.
const [given] = process.argv.slice(2);
await using embedded = given === undefined ? await startEmbed() : undefined;
const endpoints = [given ?? embedded?.endpoint ?? ""];
const nodes = ["n1", "n2", "n3"].map((id, index) => {
  const stop = new AbortController();
  const etcd = connect({ endpoints, namespace: "/examples/" });
  return { id, stop, etcd, done: node(id, `10.0.0.${index + 1}:8080`, etcd, stop.signal) };
});
await using operator = connect({ endpoints, namespace: "/examples/" });
const election = operator.election("primary");

/** The node that leads, once every node that runs is in the queue. */
async function primaryOf(running: number): Promise<(typeof nodes)[number] | undefined> {
  for await (const leader of election.observe({ signal: AbortSignal.timeout(10_000) })) {
    while ((await election.candidates()).length < running) await new Promise((resolve) => setTimeout(resolve, 20));
    const found = nodes.find((each) => leader?.value.startsWith(`${each.id}:`));
    if (found !== undefined) return found;
  }
  return undefined;
}

const first = await primaryOf(3);
console.log(`--- ${first?.id} is stopped: it steps down, the next in line takes over at once`);
first?.stop.abort();
await first?.done;

const second = await primaryOf(2);
console.log(`--- the lease of ${second?.id} is revoked behind its back: it stops at once, and stands again`);
const leader = await election.leader();
if (leader !== null) await operator.etcd.lease.revoke(leader.leaseId);

const third = await primaryOf(2);
console.log(`--- ${third?.id} is primary; the others follow. Done.`);
for (const each of nodes) each.stop.abort();
await Promise.all(nodes.map((each) => each.done));
await Promise.all(nodes.map((each) => each.etcd.close()));
