/**
 * A writer that cannot harm when it is frozen past its lease: each of its writes carries its fencing token, and etcd
 * and PostgreSQL refuse it once a newer term has begun.
 *
 * Run two of it on one etcd, each with a name of its own: `node examples/dist/fenced-writer.js NAME ENDPOINT`. The
 * database is where PGHOST, PGUSER, PGDATABASE and their like say, with `examples/fence.sql` loaded.
 */
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { type Client, compare, connect, put, TenureError, type Term } from "tenure";

const ELECTION = "fenced-writer";
const PAUSE_MS = 50;

/** Writes an entry to etcd, if nobody has written it before. */
async function writeToEtcd(etcd: Client, term: Term, entry: string): Promise<string> {
  const key = `entries/${entry}`;
  const { outcome } = await etcd
    .txn()
    .if(...term.guard(), compare.createRevision(key, "=", 0n))
    .success(put(key, `token ${term.token}`))
    .commit();
  switch (outcome) {
    case "succeeded":
      return "written";
    case "failed":
      return "exists"; // we lead; our own comparison did not hold
    case "not-leader":
      return "refused"; // nothing was written, and term.signal has fired
  }
}

/** Writes an entry to PostgreSQL, in a transaction that `fenced` refuses once a newer term has begun. */
async function writeToPostgres(database: pg.Pool, term: Term, entry: string): Promise<string> {
  const client = await database.connect();
  try {
    await client.query("BEGIN");
    await client.query("SELECT fenced($1, $2)", [ELECTION, term.token]);
    await client.query("INSERT INTO entries (token, line) VALUES ($1, $2)", [term.token, entry]);
    await client.query("COMMIT");
    client.release();
    return "written";
  } catch (error) {
    client.release(true); // closes the connection, which rolls back
    if (error instanceof pg.DatabaseError && error.code === "TEN01") return "refused";
    throw error;
  }
}

/**
 * Works until a write is refused. A usual program would stop at `term.signal` already; this one is as blind as any is
 * that was frozen between its last look and its write, and the stores have to tell it. It does stop when it is asked
 * to: by a signal, or by `tenure transfer`.
 */
async function lead(term: Term): Promise<void> {
  console.log(`${name}: leads with token ${term.token}`);
  for (let number = 1; !stop.signal.aborted && !transferred(term); number++) {
    const entry = `${name}-${term.token}-${number}`;
    const [inEtcd, inPostgres] = await Promise.all([
      writeToEtcd(etcd, term, entry),
      writeToPostgres(database, term, entry),
    ]);
    console.log(`${name}: ${entry} in etcd: ${inEtcd}, in PostgreSQL: ${inPostgres}`);
    if (inEtcd === "refused" || inPostgres === "refused") return;
    await sleep(PAUSE_MS);
  }
}

/** Whether the term is to go to another node: nothing is lost, and it takes place when `lead` ends. */
function transferred({ signal }: Term): boolean {
  return signal.aborted && TenureError.from(signal.reason).code === "not-leader";
}

const [name = "writer", endpoint = "http://127.0.0.1:2379"] = process.argv.slice(2);
const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort());
await using etcd = connect({ endpoints: [endpoint], namespace: "/examples/" });
// A leader that is frozen inside a transaction would keep the next one waiting: the server ends such a transaction.
const database = new pg.Pool({ idle_in_transaction_session_timeout: 1000 });
database.on("error", (error) => console.error(`${name}: an idle connection was lost: ${error.message}`));
await etcd.election(ELECTION, { ttlMs: 2000 }).run({ value: name, lead }, { signal: stop.signal });
await database.end();
