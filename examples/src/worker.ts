/**
 * A process that works while it is elected: it campaigns, proclaims before each unit of work, and resigns after five
 * units, so that the next process takes over.
 *
 * Run it with `npm run example:worker`; on a real etcd with `npm run example:worker -- http://127.0.0.1:2379`.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { startEmbed } from "@tenure/embed";
import { connect, TenureError } from "tenure";

const UNITS = 5;
const UNIT_MS = 1000;

/** The whole program: everything below only runs two of it. */
async function worker(name: string, endpoint: string, signal: AbortSignal): Promise<void> {
  await using etcd = connect({ endpoints: [endpoint], namespace: "/examples/" });
  const election = etcd.election("worker");

  const term = await election.campaign(undefined, { signal }); // the value is host-timestampMs
  console.log(`${name}: elected as ${term.value}, token ${term.token}`);
  const working = AbortSignal.any([signal, term.signal]);
  try {
    for (let unit = 1; unit <= UNITS; unit++) {
      await term.proclaim(); // a fresh host-timestampMs; fails when the term is over
      console.log(`${name}: unit ${unit} of ${UNITS}`);
      await sleep(UNIT_MS, undefined, { signal: working });
    }
  } catch (error) {
    // `tenure transfer` wants another process to lead: that is no failure, and it takes place when we resign.
    if (TenureError.from(term.signal.reason).code !== "not-leader") throw error;
  } finally {
    await term.resign(); // deletes the key and gives the lease back
    console.log(`${name}: resigned`);
  }
}

const [endpoint] = process.argv.slice(2);
await using embedded = endpoint === undefined ? await startEmbed() : undefined;
const stop = new AbortController();
process.once("SIGINT", () => stop.abort());
try {
  await Promise.all(["A", "B"].map((name) => worker(name, endpoint ?? embedded?.endpoint ?? "", stop.signal)));
} catch (error) {
  if (!stop.signal.aborted) throw error;
}
