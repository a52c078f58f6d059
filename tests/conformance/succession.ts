import { randomInt } from "node:crypto";
import { type Event, Event_EventType as EventType } from "@tenure/etcd/rpc";
import type { Client, Election, Term } from "tenure";
import { candidateKey } from "../../packages/tenure/src/names.ts";
import { type Harness, text } from "./harness.ts";
import { until } from "../support/until.ts";

/** One revision of an election, as the store tells of it: the keys under the prefix, the one created first in front. */
export interface Moment {
  readonly revision: bigint;
  readonly keys: readonly string[];
}

/** What the store's own watch shows of an election from now on. */
export interface Record {
  /** Every revision that changed something, up to one at which `done` holds. */
  until(what: string, done: (moment: Moment) => boolean): Promise<readonly Moment[]>;
}

/** Watches the keys of an election themselves, without anything of Tenure's between. */
export async function record(h: Harness, name: string): Promise<Record> {
  const etcd = h.etcd();
  const prefix = `${name}/`;
  const messages = etcd.watch.watch({ prefix }, { signal: etcd.closed });
  await messages.next(); // created: whatever comes after is told
  const { kvs, header } = await etcd.kv.range({ prefix });
  const from = header?.revision ?? 0n;
  const live = new Map(kvs.map((kv) => [text(kv.key), kv.createRevision]));
  const moments: Moment[] = [moment(from, live)];
  const apply = ({ type, kv }: Event): void => {
    if (kv === undefined || kv.modRevision <= from) return;
    if (type === EventType.DELETE) live.delete(text(kv.key));
    else live.set(text(kv.key), kv.createRevision);
    // One that was begun is replaced until its revision is complete.
    if (moments.at(-1)?.revision === kv.modRevision) moments.pop();
    moments.push(moment(kv.modRevision, live));
  };
  void (async () => {
    for await (const message of messages) if (message.t === "events") for (const event of message.events) apply(event);
  })().catch(() => undefined); // the client was closed
  return {
    until: (what, done) =>
      until(
        () => {
          const at = moments.findIndex(done);
          return at >= 0 && moments.slice(0, at + 1);
        },
        { what },
      ),
  };
}

function moment(revision: bigint, live: ReadonlyMap<string, bigint>): Moment {
  const keys = [...live].toSorted(([, a], [, b]) => Number(a - b)).map(([key]) => key);
  return { revision, keys };
}

/** A candidate that waits, or leads once `term` has settled. */
export interface Standing {
  readonly election: Election;
  readonly term: Promise<Term>;
  /** The key it stood with first. */
  readonly key: string;
}

/** Starts campaigns, each by a client of its own, in this order. */
export async function stand<const Values extends readonly string[]>(
  h: Harness,
  name: string,
  ...values: Values
): Promise<{ [Index in keyof Values]: Standing }> {
  const standing: Standing[] = [];
  for (const value of values) standing.push(await standWith(h, h.client(), name, value));
  return standing as { [Index in keyof Values]: Standing };
}

/** Starts the campaign of one client, and waits for its key. */
export async function standWith(h: Harness, client: Client, name: string, value: string): Promise<Standing> {
  const election = client.election(name);
  const onlooker = h.client().election(name);
  const { length: before } = await onlooker.candidates();
  const term = election.campaign(value);
  term.catch(() => undefined); // who waits for it hears of it
  await h.candidates(name, before + 1);
  return { election, term, key: (await onlooker.candidates()).at(-1)?.key ?? "" };
}

/**
 * The term of a candidate, once its own view of the election holds whatever the store does: a term is handed over to
 * whom that view shows.
 */
export async function current({ election, term }: Pick<Standing, "election" | "term">): Promise<Term> {
  const held = await term;
  const value = `${held.value}, up to date`;
  await held.proclaim(value);
  for await (const leader of election.observe()) if (leader?.value === value) break;
  return held;
}

/** Resigns the term of a candidate as soon as it is over, as its owner should. */
export async function resigning({ term }: Standing): Promise<Term> {
  const held = await term;
  held.signal.addEventListener("abort", () => void held.resign(), { once: true });
  return held;
}

/** Puts a key as another client than Tenure does, on a lease without our tag; returns it. */
export async function standForeign(h: Harness, name: string, value: string): Promise<string> {
  const etcd = h.etcd();
  const { ID: leaseId } = await etcd.lease.grant(60n, { id: foreignId() });
  const key = candidateKey(`${name}/`, leaseId);
  await etcd.kv.put(key, value, { leaseId });
  return key;
}

/** Every one on a lease of its own, whatever ran before on this store. */
function foreignId(): bigint {
  return (BigInt(randomInt(2 ** 31)) << 24n) | 0x60n;
}
