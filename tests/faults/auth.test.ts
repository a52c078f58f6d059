import { execFile } from "node:child_process";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type RpcEvent } from "@tenure/etcd";
import { type Client, connect, type Term } from "tenure";
import { run, type RunResult, spawnNode, tenureBin } from "../support/process.ts";
import { startProxy } from "../support/proxy.ts";
import { type RealEtcd, startEtcd, type StartEtcdOptions } from "../support/real-etcd.ts";
import { pause, settled, until } from "../support/until.ts";
import { HeldTerms, patienceMs, standing, testTimeoutMs } from "./witness.ts";

const user = "node";
const password = "S3cret";
const auth = { user, password };

let dir: string;
let passwordFile: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "tenure-auth-"));
  passwordFile = join(dir, "password");
  await writeFile(passwordFile, `${password}\n`);
});
afterAll(() => rm(dir, { recursive: true }));

/** Requests for a token that this process has sent. */
let authentications = 0;
const count = (message: unknown): void => {
  if ((message as RpcEvent).method.endsWith("/Authenticate")) authentications++;
};
beforeEach(() => {
  authentications = 0;
  subscribe("tenure:rpc", count);
});
afterEach(() => unsubscribe("tenure:rpc", count));

/** An etcd that knows an administrator and a user who may write below `allowed/`. */
async function startGuarded(options: StartEtcdOptions = {}): Promise<RealEtcd> {
  const etcd = await startEtcd(options);
  for (const command of [
    "user add root:r00t",
    "user grant-role root root",
    `user add ${user}:${password}`,
    "role add nodes",
    "role grant-permission nodes readwrite allowed/ --prefix",
    `user grant-role ${user} nodes`,
    "auth enable",
  ]) {
    await administer(etcd, command);
  }
  return etcd;
}

/** Runs etcdctl as administrator. */
async function administer(etcd: RealEtcd, command: string): Promise<void> {
  const { code, stderr } = await etcd.etcdctl("--user=root:r00t", ...command.split(" "));
  if (code !== 0) throw new Error(`etcdctl ${command}: ${stderr}`);
}

/** The flags of the command for this store and user. */
function flags(etcd: RealEtcd, ttlSeconds: number): string[] {
  const login = ["--user", user, "--password-file", passwordFile];
  return ["--endpoints", etcd.endpoint, ...login, "--ttl", String(ttlSeconds)];
}

/** A leader and the standby behind it, each with a client of its own, and an observer beside them. */
class Pair implements AsyncDisposable {
  readonly terms = new HeldTerms();
  readonly failures: unknown[] = [];
  readonly #clients: readonly [Client, Client];
  readonly #observing = new AbortController();
  readonly #name: string;
  readonly #ttlMs: number;

  constructor(etcd: RealEtcd, name: string, ttlMs: number) {
    const options = { endpoints: [etcd.endpoint], auth };
    this.#clients = [connect(options), connect(options)];
    this.#name = name;
    this.#ttlMs = ttlMs;
  }

  async stand(): Promise<{ readonly first: Term; readonly second: Promise<Term> }> {
    const [leading, waiting] = this.#clients.map((client) => client.election(this.#name, { ttlMs: this.#ttlMs }));
    if (leading === undefined || waiting === undefined) throw new Error("there are two clients");
    const first = this.terms.add(await leading.campaign("first"));
    const second = waiting.campaign("second").then((term) => this.terms.add(term));
    second.catch((error: unknown) => this.failures.push(error));
    await standing(this.#clients[0], this.#name, 2);
    void this.#observe();
    return { first, second };
  }

  async #observe(): Promise<void> {
    try {
      const election = this.#clients[1].election(this.#name);
      for await (const _ of election.observe({ signal: this.#observing.signal }));
    } catch (error) {
      this.failures.push(error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#observing.abort();
    this.terms[Symbol.dispose]();
    await Promise.all(this.#clients.map((client) => client.close()));
  }
}

/** Lets a leader and its standby live for a while: both must be as they were, and hand over at the end. */
async function keepsLeading(
  etcd: RealEtcd,
  name: string,
  ttlMs: number,
  meanwhile: (leading: Term) => Promise<void>,
): Promise<void> {
  await using pair = new Pair(etcd, name, ttlMs);
  const { first, second } = await pair.stand();
  await meanwhile(first);
  expect({ failures: pair.failures, lost: first.signal.reason as unknown }).toEqual({ failures: [], lost: undefined });
  await first.resign();
  const successor = await settled(second, { what: "successor", timeoutMs: patienceMs });
  expect(successor.token > first.token).toBe(true);
  expect(successor.signal.aborted).toBe(false);
  expect(pair.terms.overlaps).toEqual([]);
  expect(pair.failures).toEqual([]);
}

describe("tokens that expire between any two keep-alives", () => {
  let etcd: RealEtcd;
  beforeAll(async () => {
    etcd = await startGuarded({ args: ["--auth-token-ttl=1"] });
  });
  afterAll(() => etcd.stop());

  it.concurrent("cost neither a leader nor its standby anything", { timeout: testTimeoutMs }, async () => {
    await keepsLeading(etcd, "allowed/simple", 9000, () => pause(20_000));
    // Each of the two finds its token expired with every keep-alive.
    expect(authentications).toBeGreaterThanOrEqual(10);
  });

  it.concurrent("are no matter for the command, nor shown", { timeout: testTimeoutMs }, async () => {
    const elect = (value: string): string[] => [tenureBin, "elect", "allowed/cli", value, ...flags(etcd, 9)];
    await using leader = spawnNode(elect("first"));
    const key = await leader.line(/^allowed\/cli\//, patienceMs);
    await using standby = spawnNode(elect("second"));
    await using client = connect({ endpoints: [etcd.endpoint], auth });
    await standing(client, "allowed/cli", 2);
    await pause(12_000);
    expect(await client.election("allowed/cli").leader()).toMatchObject({ key, value: "first" });
    leader.signal("SIGTERM");
    await standby.line(/^allowed\/cli\//, patienceMs);
    expect(await leader.exit()).toMatchObject({ code: 0, stderr: "" });
    standby.signal("SIGTERM");
    expect(await standby.exit()).toMatchObject({ code: 0, stderr: "" });
  });
});

describe("JSON web tokens, which end busy streams when they expire", () => {
  let etcd: RealEtcd;
  beforeAll(async () => {
    const [privateKey, publicKey] = [join(dir, "jwt.key"), join(dir, "jwt.pub")];
    const openssl = (...args: string[]): Promise<unknown> => promisify(execFile)("openssl", args);
    await openssl("genrsa", "-out", privateKey, "2048");
    await openssl("rsa", "-in", privateKey, "-pubout", "-out", publicKey);
    const token = `jwt,pub-key=${publicKey},priv-key=${privateKey},sign-method=RS256,ttl=4s`;
    etcd = await startGuarded({ args: [`--auth-token=${token}`] });
  });
  afterAll(() => etcd.stop());

  it("cost neither a leader nor its standby anything", { timeout: testTimeoutMs }, async () => {
    await keepsLeading(etcd, "allowed/jwt", 6000, () => pause(16_000));
    expect(authentications).toBeGreaterThanOrEqual(6);
  });

  it("nor when every change of a role makes them void", { timeout: testTimeoutMs }, async () => {
    await keepsLeading(etcd, "allowed/roles", 6000, async (leading) => {
      for (let role = 0; role < 10; role++) {
        await administer(etcd, `role add extra${role}`);
        await leading.proclaim(`role ${role}`);
      }
      // Every keep-alive that was answered before has run out by then.
      await pause(6000);
    });
    expect(authentications).toBeGreaterThanOrEqual(10);
  });
});

describe("a name outside the user's role", () => {
  let etcd: RealEtcd;
  beforeAll(async () => {
    etcd = await startGuarded();
  });
  afterAll(() => etcd.stop());

  const elect = (name: string): Promise<RunResult> =>
    run([tenureBin, "elect", name, ...flags(etcd, 10), "--timeout", "5"], { timeoutMs: patienceMs });

  it("is refused with 77, and one line that says how to mend it, which does", { timeout: testTimeoutMs }, async () => {
    const { code, stdout, stderr } = await elect("other");
    expect({ code, stdout }).toEqual({ code: 77, stdout: "" });
    expect(stderr).toMatch(
      /^tenure: user "node" has no permission for the keys under "other\/"; grant it: etcdctl .*\n$/,
    );
    const mend = /etcdctl (role grant-permission .*)\n/.exec(stderr)?.[1] ?? "";
    await administer(etcd, mend.replace("ROLE", "nodes").replaceAll('"', ""));
    await using elected = spawnNode([tenureBin, "elect", "other", ...flags(etcd, 10)]);
    await elected.line(/^other\//, patienceMs);
    elected.signal("SIGTERM");
    expect(await elected.exit()).toMatchObject({ code: 0, stderr: "" });
  });

  it("is named to a user without any role as well", async () => {
    await administer(etcd, `user add nobody:${password}`);
    await using client = connect({ endpoints: [etcd.endpoint], auth: { user: "nobody", password } });
    await expect(client.election("allowed/x").campaign()).rejects.toMatchObject({
      code: "permission-denied",
      message: expect.stringContaining('user "nobody" has no permission for the keys under "allowed/x/"') as string,
    });
  });
});

describe("what is taken from a user who leads", () => {
  let etcd: RealEtcd;
  beforeEach(async () => {
    etcd = await startGuarded();
  });
  afterEach(() => etcd.stop());

  it("the permission: the term ends, and says why", { timeout: testTimeoutMs }, async () => {
    await using client = connect({ endpoints: [etcd.endpoint], auth });
    const term = await client.election("allowed/x", { ttlMs: 3000 }).campaign();
    await administer(etcd, "role revoke-permission nodes allowed/ --prefix");
    await until(() => term.signal.aborted, { what: "end of the term", timeoutMs: patienceMs });
    expect(term.signal.reason).toMatchObject({
      code: "leadership-lost",
      message: expect.stringContaining("permission denied") as string,
    });
  });

  it("the right to see the queue: who waits in it leaves, and says why", { timeout: testTimeoutMs }, async () => {
    await using client = connect({ endpoints: [etcd.endpoint], auth });
    await using proxy = await startProxy(etcd.endpoint);
    await using blind = connect({ endpoints: [proxy.endpoint], auth });
    const election = client.election("allowed/x");
    const term = await election.campaign("first");
    const waiting = blind.election("allowed/x").campaign("second");
    waiting.catch(() => undefined);
    await until(async () => (await election.candidates()).length === 2, { what: "second candidate" });
    await administer(etcd, "role revoke-permission nodes allowed/ --prefix");
    await administer(etcd, "role grant-permission nodes write allowed/ --prefix");
    // A watch that stands is not looked at again by etcd.
    proxy.cut();
    proxy.heal();
    await expect(settled(waiting, { what: "end of the wait", timeoutMs: patienceMs })).rejects.toMatchObject({
      code: "permission-denied",
    });
    expect(term.signal.aborted).toBe(false);
    const count = ["--user=root:r00t", "get", "allowed/x/", "--prefix", "--keys-only"];
    const left = async (): Promise<boolean> => (await etcd.etcdctl(...count)).stdout.trim() === term.key;
    await until(left, { what: "end of the second key", timeoutMs: patienceMs });
  });

  it("the name: the node ends with the reason, after few requests", { timeout: testTimeoutMs }, async () => {
    await using client = connect({ endpoints: [etcd.endpoint], auth });
    let elected = (): void => undefined;
    const leading = new Promise<void>((resolve) => (elected = resolve));
    const node = client.election("allowed/x", { ttlMs: 3000 }).run({
      lead: (term) =>
        new Promise((resolve) => {
          elected();
          term.signal.addEventListener("abort", () => resolve());
        }),
    });
    node.catch(() => undefined);
    await settled(leading, { what: "leader", timeoutMs: patienceMs });
    await administer(etcd, `user delete ${user}`);
    await expect(settled(node, { what: "end of the node", timeoutMs: patienceMs })).rejects.toMatchObject({
      code: "unauthenticated",
      message: expect.stringContaining('etcd refuses the password of user "node"') as string,
    });
    expect(authentications).toBeLessThan(30);
  });
});
