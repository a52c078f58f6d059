import { connect, type Client, type Term } from "tenure";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RealEtcd, startEtcd } from "../support/real-etcd.ts";
import { settled, until } from "../support/until.ts";
import { patienceMs, standing, testTimeoutMs } from "./witness.ts";

/** Seconds that a token lives when it is not used. */
const TOKEN_SECONDS = 1;
const ttlMs = 6000;

let etcd: RealEtcd;

beforeAll(async () => {
  etcd = await startEtcd({ args: [`--auth-token-ttl=${TOKEN_SECONDS}`] });
  const commands = ["user add root:pw", "user grant-role root root"];
  for (const user of ["ada", "bob"]) {
    commands.push(`user add ${user}:pw`, `role add ${user}`, `user grant-role ${user} ${user}`);
    commands.push(`role grant-permission ${user} readwrite --prefix ${user}/`);
  }
  for (const command of [...commands, "auth enable"]) {
    const { code, stderr } = await etcd.etcdctl(...command.split(" "));
    if (code !== 0) throw new Error(`${command}: ${stderr}`);
  }
});
afterAll(() => etcd.stop());

function clientOf(user: "root" | "ada" | "bob"): Client {
  return connect({ endpoints: [etcd.endpoint], auth: { user, password: "pw" } });
}

/** Waits until every token that nobody used since then is dead: etcd looks once a second. */
async function tokensDie(): Promise<void> {
  const dead = performance.now() + 2.5 * TOKEN_SECONDS * 1000;
  await until(() => performance.now() > dead, { what: "end of the tokens", timeoutMs: patienceMs });
}

// etcd's election service keeps the token of the call: a campaign that waits for longer fails just when it should win,
// and its key stays as an absent leader.
describe("tokens that die while nobody uses them", { timeout: testTimeoutMs, concurrent: true }, () => {
  it("cost a standby neither its place nor its election (etcd#17623)", async () => {
    await using leading = clientOf("root");
    await using waiting = clientOf("root");
    const first = await leading.election("ada/a", { ttlMs }).campaign("first");
    const campaign = waiting.election("ada/a", { ttlMs }).campaign("second");
    await standing(leading, "ada/a", 2);
    const [, key] = await leading.election("ada/a").candidates();
    await tokensDie();
    await first.resign();
    const second = await settled(campaign, { what: "successor", timeoutMs: patienceMs });
    expect(second.token).toBe(key?.revision);
    await tokensDie();
    await second.proclaim("again");
    await tokensDie();
    await second.resign();
    await standing(leading, "ada/a", 0);
  });

  // Since CVE-2026-33413 etcd asks for a good token with each keep-alive, that of the stream's opening.
  it("cost a leader nothing over two TTLs (patroni#2332)", async () => {
    await using client = clientOf("root");
    const term = await client.election("ada/b", { ttlMs }).campaign("a");
    const enough = performance.now() + 2 * ttlMs;
    await until(() => term.signal.aborted || performance.now() > enough, { what: "end", timeoutMs: patienceMs });
    expect([term.held, term.signal.aborted]).toEqual([true, false]);
    await term.resign();
  });

  it("leave an observer its sight (etcd#12385, etcd#11954, etcd#8914)", async () => {
    await using leading = clientOf("root");
    await using looking = clientOf("ada");
    const seen: (string | undefined)[] = [];
    const stop = new AbortController();
    const observer = (async () => {
      const leaders = looking.election("ada/c").observe({ signal: stop.signal });
      for await (const leader of leaders) seen.push(leader?.value);
    })();
    await until(() => seen.length === 1, { what: "first state" });
    await tokensDie();
    const term = await leading.election("ada/c", { ttlMs }).campaign("a");
    await until(() => seen.at(-1) === "a", { what: "sight of the leader" });
    stop.abort();
    await settled(observer, { what: "end of the observer" });
    await term.resign();
  });
});

// etcd's election service watches for everybody on one stream, with the identity of whoever came first.
describe("two users, each with a prefix of his own", () => {
  it("elect side by side (etcd#17502, etcd#14850, TestElectionWithAuthEnabled)", async () => {
    await using ada = clientOf("ada");
    await using adaToo = clientOf("ada");
    await using bob = clientOf("bob");
    await using bobToo = clientOf("bob");
    const pairs = [
      [ada, adaToo, "ada/shared"],
      [bob, bobToo, "bob/shared"],
    ] as const;
    await Promise.all(
      pairs.map(async ([one, two, name]) => {
        const first: Term = await one.election(name, { ttlMs }).campaign("first");
        const campaign = two.election(name, { ttlMs }).campaign("second");
        await standing(one, name, 2);
        await first.resign();
        const second = await settled(campaign, { what: "successor", timeoutMs: patienceMs });
        expect(second.held).toBe(true);
        await second.resign();
      }),
    );
    await expect(ada.election("bob/shared").campaign("x")).rejects.toMatchObject({ code: "permission-denied" });
    await expect(bob.election("ada/shared").observe().next()).rejects.toMatchObject({ code: "permission-denied" });
  });

  // On a stream that watches share, a refused one freezes the others; a lease of several users can be kept by none.
  it("lose nothing of their own by what they are refused (etcd#11708, CVE-2026-44283)", async () => {
    await using ada = clientOf("ada");
    await using leading = clientOf("root");
    const kept = await ada.election("ada/kept", { ttlMs }).campaign("kept");
    const seen: (string | undefined)[] = [];
    const stop = new AbortController();
    const observer = (async () => {
      const leaders = ada.election("ada/seen").observe({ signal: stop.signal });
      for await (const leader of leaders) seen.push(leader?.value);
    })();
    await until(() => seen.length === 1, { what: "first state" });
    await expect(ada.election("bob/x").observe().next()).rejects.toMatchObject({ code: "permission-denied" });
    await expect(ada.election("bob/x", { ttlMs }).campaign("x")).rejects.toMatchObject({ code: "permission-denied" });
    const term = await leading.election("ada/seen", { ttlMs }).campaign("a");
    await until(() => seen.at(-1) === "a", { what: "sight of the leader" });
    const enough = performance.now() + ttlMs;
    await until(() => kept.signal.aborted || performance.now() > enough, { what: "end", timeoutMs: patienceMs });
    expect([kept.held, kept.signal.aborted]).toEqual([true, false]);
    stop.abort();
    await settled(observer, { what: "end of the observer" });
    await Promise.all([kept.resign(), term.resign()]);
  });
});
