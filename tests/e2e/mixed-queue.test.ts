import { afterAll, beforeAll, expect, it } from "vitest";
import { runs } from "../support/children.ts";
import { type RealEtcd, startEtcd } from "../support/real-etcd.ts";
import { until } from "../support/until.ts";
import { keys, linesOf, startTenure, tenure } from "./tenure.ts";

let etcd: RealEtcd;
beforeAll(async () => void (etcd = await startEtcd()));
afterAll(() => etcd.stop());

interface Shown {
  readonly election: string;
  readonly leader: { readonly key: string; readonly value: string; readonly revision: string } | null;
  readonly revision: string;
}

it("keeps the order of the queue with tenure and etcdctl in one election, however leaders end", async () => {
  const env = { TENURE_ENDPOINTS: etcd.endpoint };
  await using observer = startTenure(["observe", "mixed", "-o", "jsonl"], env);
  await observer.line(/"leader":null/);

  let queued = 0;
  const queue = async (): Promise<void> => {
    queued++;
    await until(async () => (await keys(etcd, "mixed/")).length === queued, { what: `candidate ${queued}` });
  };
  await using first = startTenure(["elect", "mixed", "first", "--ttl", "2"], env);
  await queue();
  const second = etcd.spawnEtcdctl("elect", "mixed", "second");
  let printed = "";
  second.stdout.setEncoding("utf8").on("data", (chunk: string) => (printed += chunk));
  await queue();
  await using third = startTenure(["elect", "mixed", "third", "--ttl", "2"], env);
  await queue();
  await using fourth = startTenure(["elect", "mixed", "fourth", "--ttl", "2"], env);
  await queue();

  const order: string[] = [];
  const oldestLeads = async (value: string): Promise<void> => {
    const args = ["get", "mixed/", "--prefix", "--sort-by=CREATE", "--order=ASCEND", "--limit=1"];
    const [key = "", oldest] = linesOf((await etcd.etcdctl(...args)).stdout);
    expect(oldest).toBe(value);
    const { stdout } = await tenure(["leader", "mixed", "-o", "json"], env);
    expect((JSON.parse(stdout) as Shown).leader).toMatchObject({ key, value });
    await observer.line(new RegExp(`"key":"${key}","value":"${value}"`));
    order.push(key);
  };

  await first.line(/^first$/);
  await oldestLeads("first");
  first.signal("SIGINT");
  expect((await first.exit()).code).toBe(0);

  await until(() => printed.includes("second"), { what: "election of etcdctl" });
  await oldestLeads("second");
  expect(third.stdout + fourth.stdout).toBe("");
  second.kill("SIGINT");
  await until(() => !runs(second), { what: "end of etcdctl" });

  await third.line(/^third$/);
  await oldestLeads("third");
  third.signal("SIGKILL");
  await third.exit();

  await fourth.line(/^fourth$/);
  await oldestLeads("fourth");
  fourth.signal("SIGTERM");
  expect((await fourth.exit()).code).toBe(0);

  await observer.line(/"leader":null/);
  observer.signal("SIGINT");
  const end = await observer.exit();
  expect(end).toMatchObject({ code: 0, stderr: "" });
  const shown = linesOf(end.stdout).map((line) => JSON.parse(line) as Shown);
  expect(shown.map(({ leader }) => leader?.value ?? null)).toEqual([null, "first", "second", "third", "fourth", null]);
  expect(shown.flatMap(({ leader }) => leader?.key ?? [])).toEqual(order);
  const revisions = shown.map(({ revision }) => Number(revision));
  expect(revisions).toEqual(revisions.toSorted((a, b) => a - b));
  const tokens = shown.flatMap(({ leader }) => (leader === null ? [] : [Number(leader.revision)]));
  expect(new Set(tokens).size).toBe(4);
  expect(tokens).toEqual(tokens.toSorted((a, b) => a - b));
  expect(await keys(etcd, "mixed/")).toEqual([]);
});
