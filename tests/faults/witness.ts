import type { EtcdClient } from "@tenure/etcd";
import { type Random, seededRandom } from "@tenure/etcd/runtime";
import { type Client, put, type Term } from "tenure";
import { settled, until } from "../support/until.ts";

/** The TTL of most fault tests: the shortest that etcd grants. */
export const ttlMs = 2000;

/** So long that no lease runs out, and no keep-alive is due, while a test looks. */
export const longTtlMs = 120_000;

/** How long a test waits for what must happen, on a busy machine. */
export const patienceMs = 25_000;

/** How long a whole test may take: it waits more than once. */
export const testTimeoutMs = 60_000;

/** Does the same many times at once, each time with chance of its own; a failure says which of them it was. */
export async function manyRuns<T>(
  count: number,
  body: (run: number, random: Random) => Promise<T>,
): Promise<readonly T[]> {
  const runs = Array.from({ length: count }, async (_, run) => body(run, seededRandom(run + 1)));
  const outcomes = await Promise.allSettled(runs);
  const failures = outcomes.flatMap((outcome, run) =>
    outcome.status === "rejected" ? [`run ${run}: ${String(outcome.reason)}`] : [],
  );
  if (failures.length > 0) throw new Error(`${failures.length} of ${count} failed\n${failures.join("\n")}`);
  return Promise.all(runs);
}

/** Watches a key at etcd itself from now on; `at` is the instant by `performance.now()` when its deletion was seen. */
export async function deletionOf(etcd: EtcdClient, key: string): Promise<{ readonly at: Promise<number> }> {
  const stop = new AbortController();
  const messages = etcd.watch.watch(key, { without: "put", signal: stop.signal });
  const first = await messages.next();
  if (first.done === true || first.value.t !== "created") throw new Error(`no watch of ${key}`);
  const seen = async (): Promise<number> => {
    for await (const message of messages) if (message.t === "events") return performance.now();
    throw new Error(`the watch of ${key} ended`);
  };
  const at = seen();
  at.catch(() => undefined); // reported to whoever awaits it
  return { at };
}

/** The instant by `performance.now()` when a signal fired; undefined until then. */
export function instantOf(signal: AbortSignal): () => number | undefined {
  let at: number | undefined;
  signal.addEventListener("abort", () => (at = performance.now()), { once: true });
  return () => at;
}

/** Compares the terms of one election at every event of theirs and all the time between. */
export class HeldTerms implements Disposable {
  /** The instants at which more than one was held, each with their tokens. */
  readonly overlaps: string[] = [];
  readonly #terms: Term[] = [];
  readonly #timer = setInterval(() => this.look("in between"), 5);

  add(term: Term): Term {
    this.#terms.push(term);
    term.signal.addEventListener("abort", () => this.look("when a signal fired"));
    this.look("when elected");
    return term;
  }

  look(when: string): void {
    const tokens = this.#terms.filter(({ held }) => held).map(({ token }) => token);
    if (tokens.length > 1) this.overlaps.push(`${when}: ${tokens.join(" and ")}`);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

/** Waits for a campaign's term, but not for ever. */
export function elected(campaign: Promise<Term>): Promise<Term> {
  return settled(campaign, { what: "election", timeoutMs: patienceMs });
}

/** Whether etcd takes a write that is guarded by a term. */
export async function guardedWrite(client: Client, term: Pick<Term, "guard">, key: string): Promise<boolean> {
  const { succeeded } = await client
    .txn()
    .if(...term.guard())
    .success(put(key, "written"))
    .commit({ timeoutMs: patienceMs });
  return succeeded;
}

/** Waits until an election has so many candidates. */
export async function standing(client: Client, name: string, count: number): Promise<void> {
  const election = client.election(name);
  await until(async () => (await election.candidates()).length === count, {
    what: `${count} candidates for ${name}`,
    timeoutMs: patienceMs,
  });
}
