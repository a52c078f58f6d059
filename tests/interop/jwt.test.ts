// Signed tokens: the embedded etcd beside an etcd that has the same keys.
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { create } from "@bufbuild/protobuf";
import { Auth, type AuthenticateResponse, KV } from "@tenure/etcd/rpc";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Connection, type Status } from "../differential/src/connection.ts";
import { run, spawnNode, tenureBin } from "../support/process.ts";
import { startEtcd } from "../support/real-etcd.ts";
import { ctl, outputsOf } from "./support/side-by-side.ts";

const limitMs = 10_000;
let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "tenure-jwt-"));
});
afterAll(() => rm(dir, { recursive: true }));

const inDir = (name: string): string => join(dir, name);

async function openssl(...args: string[]): Promise<void> {
  await promisify(execFile)("openssl", args);
}

/** Makes a pair of keys and says how `--auth-token` names them. */
async function keysOf(method: string): Promise<{ readonly both: string; readonly publicOnly: string }> {
  const [key, pub] = [inDir(`${method}.key`), inDir(`${method}.pub`)];
  if (method.startsWith("HS")) {
    await writeFile(key, "a secret that both know\n");
    return { both: `priv-key=${key}`, publicOnly: "" };
  }
  const algorithm = method.startsWith("ES")
    ? ["-algorithm", "EC", "-pkeyopt", `ec_paramgen_curve:${method === "ES512" ? "P-521" : "P-256"}`]
    : ["-algorithm", "RSA"];
  await openssl("genpkey", ...algorithm, "-out", key);
  await openssl("pkey", "-in", key, "-pubout", "-out", pub);
  return { both: `priv-key=${key},pub-key=${pub}`, publicOnly: `pub-key=${pub}` };
}

interface Server extends AsyncDisposable {
  readonly endpoint: string;
}

/** Starts `tenure dev`. */
async function startDev(authToken: string): Promise<Server> {
  const dev = spawnNode([tenureBin, "dev", "--listen=127.0.0.1:0", "-o", "json", `--auth-token=${authToken}`]);
  const { endpoint } = JSON.parse(await dev.line(/^\{/)) as { readonly endpoint: string };
  return { endpoint, [Symbol.asyncDispose]: () => dev[Symbol.asyncDispose]() };
}

/** An etcd and an embedded one with the same flag. */
async function startBoth(authToken: string): Promise<AsyncDisposable & { readonly endpoints: readonly string[] }> {
  const etcd = await startEtcd({ args: [`--auth-token=${authToken}`, "--bcrypt-cost=4"] });
  const dev = await startDev(authToken);
  const stop = async (): Promise<void> => {
    await etcd.stop();
    await dev[Symbol.asyncDispose]();
  };
  return { endpoints: [etcd.endpoint, dev.endpoint], [Symbol.asyncDispose]: stop };
}

/** What a server says to somebody with nothing but a token. */
async function readWith(token: string, endpoint: string): Promise<Status> {
  return onConnection(endpoint, async (connection) => {
    const request = create(KV.method.range.input, { key: Buffer.from("a") });
    return (await connection.ask(KV.method.range, request, limitMs, { token })).status;
  });
}

/** Signs a user in. */
async function tokenOf(name: string, password: string, endpoint: string): Promise<string> {
  return onConnection(endpoint, async (connection) => {
    const request = create(Auth.method.authenticate.input, { name, password });
    const { answer, status } = await connection.ask(Auth.method.authenticate, request, limitMs);
    if (answer === undefined) throw new Error(status.message);
    return (answer as AuthenticateResponse).token;
  });
}

async function onConnection<T>(endpoint: string, action: (connection: Connection) => Promise<T>): Promise<T> {
  const connection = new Connection(endpoint);
  try {
    return await action(connection);
  } finally {
    connection.close();
  }
}

const setUp = ["user add root:pw", "user grant-role root root", "user add ann:pw", "role add r"];
const grants = ["role grant-permission r readwrite a", "user grant-role ann r", "auth enable"];
const use = ["--user ann:pw put a 1", "--user ann:pw get a", "--user ann:pw put b 1", "--user ann:no get a", "get a"];
const commands = [...setUp, ...grants, ...use].map((line) => ctl(line));

describe.each(["RS256", "RS512", "PS256", "ES256", "ES512", "HS256"])("tokens signed with %s", (method) => {
  it("are etcd's: each server takes the other's, and both refuse the same", { timeout: 60_000 }, async () => {
    const { both, publicOnly } = await keysOf(method);
    await using pair = await startBoth(`jwt,sign-method=${method},${both},ttl=10m`);
    const [expected, actual] = await Promise.all(pair.endpoints.map((endpoint) => outputsOf(endpoint, commands)));
    expect(actual).toEqual(expected);
    expect(actual?.map(({ code }) => code)).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 1]);

    const tokens = await Promise.all(pair.endpoints.map((endpoint) => tokenOf("ann", "pw", endpoint)));
    const ok = { code: "0", message: "" };
    const toBoth = (token: string): Promise<Status[]> =>
      Promise.all(pair.endpoints.map((endpoint) => readWith(token, endpoint)));
    for (const token of tokens) expect(await toBoth(token)).toEqual([ok, ok]);
    const changed = tokens[0]?.replace(/.(.{20})$/, (text) => `${text.startsWith("A") ? "B" : "A"}${text.slice(1)}`);
    const invalid = { code: "16", message: "etcdserver: invalid auth token" };
    expect(await toBoth(changed ?? "")).toEqual([invalid, invalid]);

    // What was true before a change of users is not believed after it.
    const role = ctl("--user root:pw role add other");
    for (const endpoint of pair.endpoints) expect(await outputsOf(endpoint, [role])).toMatchObject([{ code: 0 }]);
    const old = { code: "3", message: "etcdserver: revision of auth store is old" };
    expect(await toBoth(tokens[0] ?? "")).toEqual([old, old]);

    if (publicOnly === "") return;
    // Without the private key they read tokens and make none.
    await using readers = await startBoth(`jwt,sign-method=${method},${publicOnly}`);
    const [theirs, ours] = await Promise.all(readers.endpoints.map((endpoint) => outputsOf(endpoint, commands)));
    expect(ours).toEqual(theirs);
    expect(ours?.[7]?.stderr).toContain("token signing attempted with verify-only key");
    for (const endpoint of readers.endpoints) expect(await readWith(tokens[0] ?? "", endpoint)).toEqual(ok);
  });
});

describe("keys that tenure dev cannot use", () => {
  it.each([
    ["a file that is not there", "sign-method=RS256,priv-key=/nowhere", /priv-key: \/nowhere cannot be read: ENOENT/],
    ["no key", "sign-method=RS256", /jwt: RS256 needs a private key, or a public one/],
    [
      "a method that does not exist",
      "sign-method=RS1,priv-key=/dev/null",
      /jwt: the sign method "RS1" is none of RS256/,
    ],
    ["what is no key", "sign-method=ES256,priv-key=/etc/hostname", /jwt: the private key cannot be used: /],
  ])("%s: 78 and one line", async (_, options, says) => {
    const { code, stderr } = await run([tenureBin, "dev", "--listen=127.0.0.1:0", `--auth-token=jwt,${options}`]);
    expect({ code, stderr }).toEqual({ code: 78, stderr: expect.stringMatching(says) });
    expect(stderr.trim().split("\n")).toHaveLength(1);
  });
});
