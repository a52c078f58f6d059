import { startEmbed } from "@tenure/embed";
import { expect, it } from "vitest";
import { startEtcd } from "../support/real-etcd.ts";
import { type ChildLines, childLines } from "./support/child-lines.ts";
import { ctl, type CtlCommand, outputsOf, spawnCtl } from "./support/side-by-side.ts";

const keys: readonly CtlCommand[] = [
  "put a 1",
  "put a 2 --prev-kv",
  "put b 1",
  "put ab 3",
  "put a 1 --lease=123",
  "get a -w fields",
  "get a b",
  'get "" --prefix',
  'get "" --from-key --keys-only',
  "get a --prefix --count-only -w fields",
  "get a --rev=2",
  'get "" --prefix --sort-by=CREATE --order=DESCEND',
  'get "" --prefix --limit=1 -w json',
  "del ab --prev-kv",
  "del a --prefix",
  "put a again",
  "compaction 3",
  "compaction 3",
  "compaction 99",
  "get a --rev=2",
].map((line) => ctl(line));

const transactions: readonly CtlCommand[] = [
  ctl("txn", 'value("a") = "again"\nmod("a") > "1"\n\nput a won\nget a\n\nput a lost\n\n'),
  ctl("txn", 'create("a") = "0"\n\nput a won\n\ndel a\nget b\n\n'),
  ctl("txn", "\nput a 1\nput a 2\n\n\n"),
];

/** The same history, and so the same hash: as long as no lease is in it, whose id a server chooses. */
const hashes: readonly CtlCommand[] = ["endpoint hashkv", "endpoint hashkv --rev=5", "endpoint hashkv --rev=99"].map(
  (line) => ctl(line),
);

const leases: readonly CtlCommand[] = [
  "lease grant 100",
  "put leased 1 --lease={lease}",
  "lease timetolive {lease} --keys",
  "lease keep-alive --once {lease}",
  "lease list",
  "lease revoke {lease}",
  "lease revoke {lease}",
  "lease timetolive {lease}",
  "get leased",
].map((line) => ctl(line));

const cluster: readonly CtlCommand[] = [
  "member list",
  "member list -w fields",
  "member remove 123",
  "endpoint health",
  "endpoint status -w fields",
  "alarm list",
  "alarm disarm",
  "defrag",
  "move-leader 123",
  "lock a-lock -- echo held",
].map((line) => ctl(line));

const authentication: readonly CtlCommand[] = [
  "auth enable",
  "user add root:pw",
  "user add ann:pw",
  "user add --no-password bob",
  "user get ann",
  "user list",
  "role add r",
  "role grant-permission r readwrite app/ --prefix",
  "role grant-permission r read z --from-key",
  "role grant-permission r write a b",
  "role get r",
  "role revoke-permission r a b",
  "user grant-role ann r",
  "user get ann --detail",
  "role list",
  "auth enable",
  "auth status",
  "--user root:pw auth status",
  "get app/1",
  "--user ann:pw put app/1 1",
  "--user ann:pw get app/ --prefix",
  "--user ann:pw put z 1",
  "--user ann:pw user list",
  "lease grant 60",
  "--user root:pw role delete r",
  "--user ann:pw get app/1",
  "--user root:pw auth disable",
  "user delete root",
].map((line) => ctl(line));

it("etcdctl prints the same of the embedded etcd as of etcd, but for ids and addresses", async () => {
  await using etcd = await startEtcd({ args: ["--bcrypt-cost=4"] });
  // Where etcd begins.
  await using embed = await startEmbed({ firstRevision: 1n });
  const commands = [...keys, ...transactions, ...hashes, ...leases, ...cluster, ...authentication];
  const [expected, actual] = await Promise.all([
    outputsOf(etcd.endpoint, commands),
    outputsOf(embed.endpoint, commands),
  ]);
  expect(actual).toEqual(expected);
}, 120_000);

it("etcdctl watches, elects and locks on the embedded etcd", async () => {
  await using embed = await startEmbed({ firstRevision: 1n });
  await outputsOf(embed.endpoint, [ctl("put a 1"), ctl("put a 2"), ctl("del a")]);
  const started = async (...args: string[]) => childLines(await spawnCtl(embed.endpoint, args));
  const watch = await started("watch", "a", "--rev=2");
  expect(await linesOf(watch, 8)).toEqual(["PUT", "a", "1", "PUT", "a", "2", "DELETE", "a"]);
  await watch.kill();

  const first = await started("elect", "election", "one");
  expect((await linesOf(first, 2))[1]).toBe("one");
  const second = await started("elect", "election", "two");
  const observer = await started("elect", "--listen", "election");
  expect((await linesOf(observer, 2))[1]).toBe("one");
  expect(await first.interrupt()).toBe(0);
  expect((await linesOf(second, 2))[1]).toBe("two");
  expect((await linesOf(observer, 4))[3]).toBe("two");
  await observer.kill();
  await second.kill();

  const holder = await started("lock", "a-lock");
  await holder.count(1);
  const waiter = await started("lock", "a-lock", "--", "echo", "held");
  expect(await holder.interrupt()).toBe(0);
  expect(await linesOf(waiter, 1)).toEqual(["held"]);
});

/** The first lines that a child prints. */
async function linesOf(child: ChildLines, count: number): Promise<readonly string[]> {
  await child.count(count);
  return child.lines.slice(0, count);
}
