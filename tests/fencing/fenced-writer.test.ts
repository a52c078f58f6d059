import { readFile } from "node:fs/promises";
import type pg from "pg";
import { describe, expect, it } from "vitest";
import { connect } from "tenure";
import { skipPostgres } from "../../scripts/lib/postgres.mjs";
import { startPostgres, type Postgres } from "../support/postgres.ts";
import { root, spawnNode, type NodeProcess } from "../support/process.ts";
import { startEtcd, type RealEtcd } from "../support/real-etcd.ts";
import { settled, until } from "../support/until.ts";

const rounds = 5;
const electedMs = 15_000;
const written = /in etcd: written, in PostgreSQL: written$/;

if (skipPostgres) console.error("TENURE_SKIP_POSTGRES=1: NOT TESTED that PostgreSQL refuses the writes of old leaders");

describe.skipIf(skipPostgres)("a leader that was frozen past its lease", () => {
  it(`is refused by etcd and PostgreSQL at its next write, ${rounds} times`, { timeout: 120_000 }, async () => {
    await using etcd = await startEtcd();
    await using postgres = await startPostgres();
    const database = await prepared(postgres);
    const writer = (name: string): NodeProcess =>
      spawnNode([`${root}examples/dist/fenced-writer.js`, name, etcd.endpoint], {
        env: { ...postgres.env, PGAPPNAME: name },
      });
    const elected = async (process: NodeProcess): Promise<bigint> => {
      const line = await process.line(/: leads with token \d+$/, electedMs);
      await process.line(written);
      return BigInt(/\d+$/.exec(line)?.[0] ?? 0);
    };

    await using a = writer("a");
    const terms = [await elected(a)];
    await using b = writer("b");
    let [leader, standby] = [a, b];
    for (let round = 1; round <= rounds; round++) {
      await freezeBetweenWrites(leader, terms.at(-1) ?? 0n, { database, etcd });
      terms.push(await elected(standby));
      leader.signal("SIGCONT");
      const refused = await leader.line(/refused/);
      expect(refused).toMatch(/in etcd: refused, in PostgreSQL: refused$/);
      const entry = /: (\S+) in etcd/.exec(refused)?.[1] ?? "";
      expect(entry).toContain(`-${terms.at(-2)}-`); // its old token
      expect(await tokensIn(database, entry)).toEqual([]);
      expect((await etcd.etcdctl("get", `entries/${entry}`)).stdout).toBe("");
      await standby.line(written); // the new leader was not disturbed
      [leader, standby] = [standby, leader];
    }

    for (const process of [a, b]) process.signal("SIGTERM");
    for (const process of [a, b]) expect(await process.exit()).toMatchObject({ code: 0, stderr: "" });
    expect(terms).toEqual(terms.toSorted((one, other) => (one < other ? -1 : 1)));
    for (const tokens of [await tokensIn(database), await tokensInEtcd(etcd)]) {
      expect(tokens).toEqual(tokens.toSorted((one, other) => (one < other ? -1 : 1)));
      expect([...new Set(tokens)]).toEqual(expect.arrayContaining(terms));
    }
  });

  // The old leader is frozen inside its transaction, which `fenced` has let go on.
  it.each([
    { limitMs: 0, kept: true, title: "keeps the new one waiting without a limit, then commits before it" },
    { limitMs: 500, kept: false, title: "is rolled back by the limit, and the new one goes on" },
  ])("with a transaction open: $title", { timeout: 60_000 }, async ({ limitMs, kept }) => {
    await using etcd = await startEtcd();
    await using postgres = await startPostgres();
    const database = await prepared(postgres);
    const newcomer = await postgres.connect();
    await using client = connect({ endpoints: [etcd.endpoint] });
    await using old = spawnNode([`${root}tests/fencing/open-transaction.js`, etcd.endpoint, String(limitMs)], {
      env: postgres.env,
    });
    const token = BigInt(/\d+$/.exec(await old.line(/^open \d+$/))?.[0] ?? 0);
    old.signal("SIGSTOP");
    const campaign = client.election("open-transaction").campaign("new");
    const term = await settled(campaign, { timeoutMs: electedMs, what: "new term" });
    expect(term.token).toBeGreaterThan(token);

    await newcomer.query("BEGIN");
    const fenced = newcomer.query("SELECT fenced('open-transaction', $1)", [term.token]);
    if (kept) await until(() => waitsForLock(database), { what: "wait of the new leader for the old" });
    else await settled(fenced, { what: "end of the old transaction" });
    old.write("commit\nagain\n");
    old.signal("SIGCONT");
    expect(await old.line(/^commit: /)).toMatch(
      kept ? /^commit: done$/ : /^commit: (25P03|.*(terminated|not queryable))/,
    );
    await settled(fenced, { what: "turn of the new leader" });
    await newcomer.query("INSERT INTO entries (token, line) VALUES ($1, 'new')", [term.token]);
    await newcomer.query("COMMIT");
    expect(await old.line(/^again: /)).toBe("again: TEN01");
    expect(await tokensIn(database)).toEqual(kept ? [token, term.token] : [term.token]);
    await term.resign();
  });
});

async function prepared(postgres: Postgres): Promise<pg.Client> {
  const database = await postgres.connect();
  await database.query(await readFile(`${root}examples/fence.sql`, "utf8"));
  return database;
}

interface Stores {
  readonly database: pg.Client;
  readonly etcd: RealEtcd;
}

/** Freezes a writer while it pauses: frozen in the middle of a write it is let go on, and frozen again. */
async function freezeBetweenWrites(leader: NodeProcess, token: bigint, { database, etcd }: Stores): Promise<void> {
  await until(
    async () => {
      leader.signal("SIGSTOP");
      await until(async () => /^\d+ \(.*\) T/.test(await readFile(`/proc/${leader.pid}/stat`, "utf8")), {
        what: "stop of the process",
        intervalMs: 1,
      });
      const told = leader.lines.filter((line) => line.includes(`-${token}-`)).length;
      const inPostgres = (await tokensIn(database)).filter((each) => each === token).length;
      const inEtcd = (await tokensInEtcd(etcd)).filter((each) => each === token).length;
      if (told === inPostgres && told === inEtcd && !(await inTransaction(database))) return true;
      leader.signal("SIGCONT");
      return false;
    },
    { what: "freeze between two writes" },
  );
}

/** The tokens of the entries in the order of their transactions; `fenced` comes first in each. */
async function tokensIn(database: pg.Client, line = "%"): Promise<bigint[]> {
  const { rows } = await database.query<{ token: string }>("SELECT token FROM entries WHERE line LIKE $1 ORDER BY id", [
    line,
  ]);
  return rows.map((row) => BigInt(row.token));
}

async function tokensInEtcd(etcd: RealEtcd): Promise<bigint[]> {
  const { stdout } = await etcd.etcdctl("get", "entries/", "--prefix", "--sort-by=CREATE", "--print-value-only");
  return [...stdout.matchAll(/^token (\d+)$/gm)].map(([, token]) => BigInt(token ?? 0));
}

async function inTransaction(database: pg.Client): Promise<boolean> {
  const look = "SELECT 1 FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND state <> 'idle'";
  return (await database.query(look)).rowCount !== 0;
}

async function waitsForLock(database: pg.Client): Promise<boolean> {
  return (await database.query("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'")).rowCount === 1;
}
