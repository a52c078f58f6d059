// A leader with a transaction open: `node open-transaction.js ENDPOINT IDLE_LIMIT_MS`. It prints `open TOKEN` once
// `fenced` has let the transaction go on; then it takes two commands on stdin. `commit` writes an entry and commits,
// `again` does all of it in a new transaction; it prints the command and what came of it.
import { createInterface } from "node:readline";
import pg from "pg";
import { connect } from "tenure";

const [endpoint, idleLimitMs] = process.argv.slice(2);
const etcd = connect({ endpoints: [endpoint] });
const term = await etcd.election("open-transaction", { ttlMs: 2000 }).campaign("old");

const first = await open();
console.log(`open ${term.token}`);
for await (const command of createInterface({ input: process.stdin })) {
  try {
    await commit(command === "again" ? await open() : first);
    console.log(`${command}: done`);
  } catch (error) {
    console.log(`${command}: ${error.code ?? error.message}`);
  }
}

async function open() {
  const client = new pg.Client({ idle_in_transaction_session_timeout: Number(idleLimitMs) });
  client.on("error", () => undefined); // the server ended the connection; the next query says so
  await client.connect();
  await client.query("BEGIN");
  await client.query("SELECT fenced('open-transaction', $1)", [term.token]);
  return client;
}

async function commit(client) {
  await client.query("INSERT INTO entries (token, line) VALUES ($1, 'old')", [term.token]);
  await client.query("COMMIT");
  await client.end();
}
