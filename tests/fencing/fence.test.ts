import { readFile } from "node:fs/promises";
import type pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { skipPostgres } from "../../scripts/lib/postgres.mjs";
import { startPostgres, type Postgres } from "../support/postgres.ts";
import { root } from "../support/process.ts";
import { settled, until } from "../support/until.ts";

const refusal = "TEN01";
const serializationFailure = "40001";

/** What examples/fence.sql promises, whatever the isolation level. */
describe.skipIf(skipPostgres)("fenced() in PostgreSQL", () => {
  let postgres: Postgres;
  let older: pg.Client;
  let newer: pg.Client;
  let watcher: pg.Client;

  beforeAll(async () => {
    postgres = await startPostgres();
    [older, newer, watcher] = [await postgres.connect(), await postgres.connect(), await postgres.connect()];
    await watcher.query(await readFile(`${root}examples/fence.sql`, "utf8"));
  });
  afterAll(() => postgres.stop());
  beforeEach(async () => {
    await older.query("ROLLBACK");
    await newer.query("ROLLBACK");
    await watcher.query("TRUNCATE fence, entries");
  });

  const fenced = (client: pg.Client, token: bigint): Promise<unknown> =>
    client.query("SELECT fenced('e', $1)", [token]);
  const begin = (client: pg.Client, isolation = "READ COMMITTED"): Promise<unknown> =>
    client.query(`BEGIN ISOLATION LEVEL ${isolation}`);
  const write = (client: pg.Client, token: bigint): Promise<unknown> =>
    client.query("INSERT INTO entries (token, line) VALUES ($1, '')", [token]);
  /** "done", or the code of the error. */
  const outcome = (query: Promise<unknown>): Promise<unknown> =>
    query.then(
      () => "done",
      (error: { code?: string }) => error.code,
    );
  async function tokens(): Promise<string[]> {
    const { rows } = await watcher.query<{ token: string }>("SELECT token FROM entries ORDER BY id");
    return rows.map((row) => row.token);
  }
  function waitsForLock(client: pg.Client): Promise<unknown> {
    const { processID } = client as pg.Client & { processID: number };
    const look = "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND wait_event_type = 'Lock'";
    return until(async () => (await watcher.query(look, [processID])).rowCount === 1, { what: "wait for the lock" });
  }

  it("lets a token pass again and a higher one, and refuses a lower one with a code of its own", async () => {
    for (const token of [5n, 5n, 7n]) await fenced(older, token);
    expect(await outcome(fenced(older, 6n))).toBe(refusal);
    await fenced(older, 7n);
    await fenced(older, 2n ** 63n - 1n);
    expect(await outcome(fenced(older, 7n))).toBe(refusal);
  });

  it("keeps elections apart", async () => {
    await fenced(older, 9n);
    await older.query("SELECT fenced('other', 1)");
    expect(await outcome(fenced(older, 8n))).toBe(refusal);
  });

  it("forgets the token of a transaction that was rolled back", async () => {
    await begin(newer);
    await fenced(newer, 9n);
    await newer.query("ROLLBACK");
    expect(await outcome(fenced(older, 8n))).toBe("done");
  });

  it("lets transactions of one term run side by side", async () => {
    await fenced(older, 5n);
    await begin(older);
    await begin(newer);
    await fenced(older, 5n);
    expect(await settled(outcome(fenced(newer, 5n)), { what: "second transaction of the term" })).toBe("done");
    await newer.query("COMMIT");
    await older.query("COMMIT");
  });

  it("lets the first two transactions of a term pass, one after the other", async () => {
    await begin(older);
    await fenced(older, 5n);
    const second = outcome(fenced(newer, 5n));
    await waitsForLock(newer);
    await older.query("COMMIT");
    expect(await settled(second, { what: "second transaction" })).toBe("done");
  });

  describe.each(["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])("at %s", (isolation) => {
    // A serialization failure asks for another try.
    const refusals = isolation === "READ COMMITTED" ? [refusal] : [refusal, serializationFailure];
    const before = [{ before: "a term's first write" }, { before: "a later write" }];

    it.each(before)("refuses an old transaction that began before the new term, $before", async ({ before: when }) => {
      if (when === "a later write") await fenced(older, 5n);
      await begin(older, isolation);
      await older.query("SELECT count(*) FROM entries"); // takes its snapshot
      await fenced(newer, 6n);
      await write(newer, 6n);
      expect(refusals).toContain(await outcome(fenced(older, 5n)));
      await older.query("ROLLBACK");
      expect(await outcome(fenced(older, 5n))).toBe(refusal);
      expect(await tokens()).toEqual(["6"]);
    });

    it.each(before)("makes the new term wait for an open transaction, $before", async ({ before: when }) => {
      if (when === "a later write") await fenced(older, 5n);
      await begin(older, isolation);
      await fenced(older, 5n);
      await begin(newer);
      const next = outcome(fenced(newer, 6n).then(() => write(newer, 6n)));
      await waitsForLock(newer);
      await write(older, 5n);
      await older.query("COMMIT");
      expect(await settled(next, { what: "write of the new term" })).toBe("done");
      await newer.query("COMMIT");
      expect(await tokens()).toEqual(["5", "6"]);
      expect(await outcome(fenced(older, 5n))).toBe(refusal);
    });

    it("refuses an old transaction that waited for the new term's", async () => {
      await fenced(older, 5n);
      await begin(newer, isolation);
      await fenced(newer, 6n);
      await begin(older, isolation);
      const late = outcome(fenced(older, 5n));
      await waitsForLock(older);
      await write(newer, 6n);
      await newer.query("COMMIT");
      expect(refusals).toContain(await settled(late, { what: "answer to the old term" }));
      await older.query("ROLLBACK");
      expect(await tokens()).toEqual(["6"]);
    });
  });
});
