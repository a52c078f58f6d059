import { describe, expect, it } from "vitest";
import { skipPostgres } from "../../scripts/lib/postgres.mjs";
import { startPostgres } from "./postgres.ts";

describe.skipIf(skipPostgres)("startPostgres()", () => {
  it("serves, and gives each caller a server of its own", async () => {
    const servers = await Promise.all([startPostgres(), startPostgres()]);
    for (const [index, server] of servers.entries()) {
      const client = await server.connect();
      await client.query("CREATE TABLE mine (n bigint)");
      await client.query("INSERT INTO mine VALUES ($1)", [2n ** 63n - 1n - BigInt(index)]);
      const { rows } = await client.query<{ n: string; version: string }>(
        "SELECT n, current_setting('server_version') AS version FROM mine",
      );
      expect(rows[0]?.n).toBe(String(2n ** 63n - 1n - BigInt(index)));
      expect(rows[0]?.version.startsWith(server.version)).toBe(true);
    }
    await Promise.all(servers.map((server) => server.stop()));
  });

  it("leaves no process behind, with a transaction open", async () => {
    const server = await startPostgres();
    await (await server.connect()).query("BEGIN");
    await server.stop();
    expect(() => process.kill(server.pid, 0)).toThrow("ESRCH");
  });
});
