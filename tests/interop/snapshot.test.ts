import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startEmbed } from "@tenure/embed";
import { EtcdClient, put } from "@tenure/etcd";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startEtcd } from "../support/real-etcd.ts";
import { ctl, outputsOf } from "./support/side-by-side.ts";

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "tenure-snapshot-"));
});
afterAll(() => rm(dir, { recursive: true }));

/** Saves a snapshot and makes a data directory of etcd's from it. */
async function restored(endpoint: string, name: string): Promise<string> {
  const [file, data] = [join(dir, `${name}.db`), join(dir, name)];
  const peer = "http://127.0.0.1:1";
  const cluster = `--name=test --initial-cluster=test=${peer} --initial-advertise-peer-urls=${peer}`;
  const commands = [
    `snapshot save ${file}`,
    `snapshot status ${file}`,
    `snapshot restore ${file} --data-dir=${data} ${cluster}`,
  ];
  for (const { code, command, stderr } of await outputsOf(
    endpoint,
    commands.map((line) => ctl(line)),
  )) {
    if (code !== 0) throw new Error(`${command}: ${stderr}`);
  }
  return data;
}

it("etcd goes on from a snapshot of the embedded etcd", async () => {
  await using embed = await startEmbed({ firstRevision: 1n });
  await using client = new EtcdClient({ endpoints: [embed.endpoint] });
  const { kv, lease } = client;
  // Enough for a tree of several levels; some values do not fit into a page.
  for (let batch = 0; batch < 150; batch += 1) {
    const keys = Array.from({ length: 100 }, (_, index) => `key/${batch}/${index}`);
    await kv
      .txn()
      .success(...keys.map((key) => put(key, key)))
      .commit();
  }
  await kv.put("large", "x".repeat(20_000));
  await kv.delete({ prefix: "key/7/" });
  await kv.put("key/8/0", "again");
  await kv.compact(100n);
  const { ID } = await lease.grant(600n);
  await kv.put("leased", "1", { leaseId: ID });

  const data = await restored(embed.endpoint, "full");
  await using etcd = await startEtcd({ args: [`--data-dir=${data}`] });
  await using after = new EtcdClient({ endpoints: [etcd.endpoint] });
  const everything = { prefix: "" } as const;
  const [expected, actual] = await Promise.all([kv.range(everything), after.kv.range(everything)]);
  expect(actual.kvs).toEqual(expected.kvs);
  expect(actual.kvs).toHaveLength(14_902);
  expect(actual.header?.revision).toBe(expected.header?.revision);
  const hash = [ctl("endpoint hashkv")];
  expect(await outputsOf(etcd.endpoint, hash)).toEqual(await outputsOf(embed.endpoint, hash));
  const { keys, grantedTTL } = await after.lease.timeToLive(ID, { keys: true });
  expect([keys.map((key) => Buffer.from(key).toString()), grantedTTL]).toEqual([["leased"], 600n]);
  await expect(after.kv.range("large", { revision: 99n })).rejects.toMatchObject({ code: "compacted" });
  expect((await after.kv.put("after", "1")).header?.revision).toBe((expected.header?.revision ?? 0n) + 1n);
}, 120_000);

it("etcd starts from a snapshot of an empty one", async () => {
  await using embed = await startEmbed();
  const data = await restored(embed.endpoint, "empty");
  await using etcd = await startEtcd({ args: [`--data-dir=${data}`] });
  await using client = new EtcdClient({ endpoints: [etcd.endpoint] });
  expect((await client.kv.range({ prefix: "" })).kvs).toEqual([]);
}, 60_000);
