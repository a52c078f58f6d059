import { once } from "node:events";
import { Etcd3, type IOptions, Range } from "etcd3";

/** Walks through npm `etcd3` on an empty store, authentication included, and tells what it saw, without ids. */
export async function etcd3Tour(endpoint: string): Promise<readonly string[]> {
  const seen: string[] = [];
  const say = (what: string, ...values: unknown[]): void => void seen.push(`${what}: ${JSON.stringify(values)}`);
  const clients: Etcd3[] = [];
  const connect: Connect = (options) => {
    const client = new Etcd3({ hosts: endpoint, ...options });
    clients.push(client);
    return client;
  };
  try {
    const client = connect();
    await keys(client, say);
    await leases(client, say);
    await locks(client, say);
    await elections(client, say);
    await memory(client, say);
    await users(client, connect, say);
    return seen;
  } finally {
    for (const client of clients) client.close();
  }
}

type Connect = (options?: Pick<IOptions, "auth">) => Etcd3;
type Say = (what: string, ...values: unknown[]) => void;

async function keys(client: Etcd3, say: Say): Promise<void> {
  const watcher = await client.watch().prefix("k/").withPreviousKV().create();
  const events: string[] = [];
  let told: (() => void) | undefined;
  watcher.on("data", ({ events: all }) => {
    events.push(
      ...all.map(({ type, kv, prev_kv: before }) => [type, kv.key, kv.value, before?.value].map(String).join(" ")),
    );
    if (events.length === 4) told?.();
  });
  const allTold = new Promise<void>((resolve) => (told = resolve));
  const { header } = await client.put("k/a").value("1");
  say("put", header.revision);
  await client.put("k/b").value("2");
  say("get", await client.get("k/a").string(), await client.get("k/none").string());
  say("all", await client.getAll().prefix("k/").strings(), await client.getAll().prefix("k/").count());
  say("sorted", await client.getAll().prefix("k/").sort("Value", "Descend").limit(1).keys());
  const txn = client.if("k/a", "Value", "==", "1").then(client.put("k/a").value("3")).else(client.delete().key("k/a"));
  say("txn", (await txn.commit()).succeeded, await client.get("k/a").string());
  say("deleted", (await client.delete().prefix("k/a")).deleted);
  await allTold;
  say("events", events);
  await watcher.cancel();
}

async function leases(client: Etcd3, say: Say): Promise<void> {
  const lease = client.lease(60);
  await lease.put("leased").value("x");
  const { TTL, grantedTTL } = await client.leaseClient.leaseTimeToLive({ ID: await lease.grant(), keys: true });
  say("lease", Number(TTL) > 0, grantedTTL);
  await lease.keepaliveOnce();
  await lease.revoke();
  say("revoked", await client.get("leased").string());
}

async function locks(client: Etcd3, say: Say): Promise<void> {
  const held = await client.lock("lock").acquire();
  const refused: unknown = await client
    .lock("lock")
    .acquire()
    .catch((error: unknown) => error);
  say("second lock", refused instanceof Error && refused.name);
  await held.release();
  say("after release", await client.lock("lock").do(() => Promise.resolve("held")));
}

async function elections(client: Etcd3, say: Say): Promise<void> {
  const election = client.election("one", 30);
  const first = election.campaign("first");
  await first.wait();
  const observer = await election.observe();
  say("leader", await election.leader(), observer.leader());
  const changed = once(observer, "change");
  await first.proclaim("again");
  say("proclaimed", await changed);
  const second = client.election("one", 30).campaign("second");
  const won = second.wait();
  await first.resign();
  await won;
  say("succession", await election.leader());
  await observer.cancel();
  await second.resign();
}

async function memory(client: Etcd3, say: Say): Promise<void> {
  await client.put("count").value(0);
  const add = (): Promise<unknown> =>
    client.stm({ retries: 100 }).transact(async (tx) => {
      const count = Number(await tx.get("count").number());
      await tx.put("count").value(count + 1);
    });
  await Promise.all(Array.from({ length: 5 }, add));
  say("stm", await client.get("count").number());
}

async function users(client: Etcd3, connect: Connect, say: Say): Promise<void> {
  const role = client.role("ann");
  await role.create();
  await role.grant({ permission: "Readwrite", range: Range.prefix("ann/") });
  say("role", (await role.permissions()).length);
  await (await client.user("root").create("pw")).addRole("root");
  await (await client.user("ann").create("pw")).addRole("ann");
  await client.auth.authEnable();
  const refusal = async (act: Promise<unknown>): Promise<string> =>
    act.then(
      () => "done",
      (error: unknown) => (error instanceof Error ? `${error.name}: ${error.message}` : String(error)),
    );
  say("nobody", await refusal(client.get("ann/a").string()));
  const ann = connect({ auth: { username: "ann", password: "pw" } });
  say("ann", await refusal(ann.put("ann/a").value("1").exec()), await refusal(ann.put("bob").value("1").exec()));
  const wrong = connect({ auth: { username: "ann", password: "no" } });
  say("wrong password", await refusal(wrong.get("ann/a").string()));
  const root = connect({ auth: { username: "root", password: "pw" } });
  say(
    "users",
    (await root.getUsers()).map(({ name }) => name),
  );
  await root.auth.authDisable();
}
