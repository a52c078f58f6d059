import { execFile } from "node:child_process";
import { copyFile, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { EtcdClient, type EtcdError, type TlsOptions } from "@tenure/etcd";
import { connect } from "tenure";
import { type Authority, type CertificateFiles, createAuthority } from "../support/certificates.ts";
import { run, spawnNode, tenureBin } from "../support/process.ts";
import { type RealEtcd, startEtcd } from "../support/real-etcd.ts";
import { pause, settled, until } from "../support/until.ts";
import { patienceMs, standing, testTimeoutMs } from "./witness.ts";

let dir: string;
/** Whom everybody trusts at first, and whom afterwards. */
let before: Authority;
let after: Authority;
/** Where the certificates in use lie. */
const file = (name: string): string => join(dir, name);
const clientFiles = (): { caFile: string; certFile: string; keyFile: string } => ({
  caFile: file("ca.pem"),
  certFile: file("client.pem"),
  keyFile: file("client.key"),
});

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "tenure-tls-"));
  [before, after] = await Promise.all([createAuthority(dir, "before"), createAuthority(dir, "after")]);
});
afterAll(() => rm(dir, { recursive: true }));

/** Puts files in place of those in use, each at once as operators' tools do. */
async function replace(files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, source] of Object.entries(files)) {
    await copyFile(source, file("next"));
    await rename(file("next"), file(name));
  }
}

/** Puts everything that an authority vouches for in use. */
async function deploy(authority: Authority): Promise<void> {
  const [server, client] = await Promise.all([
    authority.issue("server", { names: "IP:127.0.0.1,DNS:etcd.internal" }),
    authority.issue("client"),
  ]);
  await replace({ "ca.pem": authority.caFile, "server.pem": server.certFile, "server.key": server.keyFile });
  await replace({ "client.pem": client.certFile, "client.key": client.keyFile });
}

function startTlsEtcd(): Promise<RealEtcd> {
  const { caFile, certFile, keyFile } = clientFiles();
  const client = { certFile, keyFile };
  return startEtcd({ tls: { caFile, certFile: file("server.pem"), keyFile: file("server.key"), client } });
}

/** Why a store cannot be used, as a single call says. */
async function refusal(endpoint: string, tls: TlsOptions): Promise<string> {
  await using client = new EtcdClient({ endpoints: [endpoint], tls });
  const error = await client.kv.range("k").catch((thrown: unknown) => thrown as EtcdError);
  expect(error).toMatchObject({ name: "EtcdError", code: "unavailable", mayHaveApplied: false });
  const { message } = error as EtcdError;
  expect(message).not.toContain("\n");
  return message;
}

describe("certificates and authority that are replaced under a running leader", () => {
  // Long enough for etcd to start again between two keep-alives on a busy machine.
  const ttlMs = 10_000;

  it("cost it nothing, nor its standby, when the member is restarted", { timeout: testTimeoutMs }, async () => {
    await deploy(before);
    await using etcd = await startTlsEtcd();
    const endpoints = [etcd.endpoint];
    const old = await oldTexts();
    await using client = connect({ endpoints, tls: clientFiles() });
    const term = await client.election("rotated", { ttlMs }).campaign("leader");
    const flags = ["--cacert", file("ca.pem"), "--cert", file("client.pem"), "--key", file("client.key")];
    const elect = ["elect", "rotated", "standby", "--endpoints", etcd.endpoint, "--ttl", String(ttlMs / 1000)];
    await using standby = spawnNode([tenureBin, ...elect, ...flags]);
    await standing(client, "rotated", 2);

    await deploy(after);
    // Whoever is connected goes on.
    await term.proclaim("still here");
    await etcd.restart();
    const restartedAt = performance.now();
    expect(await refusal(etcd.endpoint, old)).toMatch(/not signed by an authority we trust/);
    // Every keep-alive that was answered before has run out by then.
    await until(() => term.signal.aborted || performance.now() - restartedAt > ttlMs, {
      what: "end of the TTL",
      timeoutMs: 2 * ttlMs,
    });
    expect(term.signal.reason).toBeUndefined();
    await term.proclaim("with new certificates");
    expect(await client.election("rotated").candidates()).toHaveLength(2);

    await term.resign();
    expect(await standby.line(/^rotated\//, patienceMs)).not.toBe(term.key);
    expect(standby.stderr).toBe("");
  });

  /** What was deployed, as texts, which nobody replaces. */
  async function oldTexts(): Promise<TlsOptions> {
    const { caFile, certFile, keyFile } = clientFiles();
    const [ca, cert, key] = await Promise.all([caFile, certFile, keyFile].map((each) => readFile(each, "utf8")));
    return { ca, cert, key };
  }
});

describe("a certificate that is replaced before its key", () => {
  it("is told as the reason, and used once its key is there", async () => {
    await deploy(before);
    await using etcd = await startTlsEtcd();
    const next = await before.issue("next");
    await replace({ "client.pem": next.certFile });
    await using client = connect({ endpoints: [etcd.endpoint], tls: clientFiles() });
    const ready = client.ready({ timeoutMs: patienceMs });
    expect(await refusal(etcd.endpoint, clientFiles())).toMatch(
      /: the certificate .*client\.pem and the key .*client\.key cannot be used: they do not belong together$/,
    );
    await replace({ "client.key": next.keyFile });
    await settled(ready, { what: "connection", timeoutMs: patienceMs });
  });
});

describe("an authority from a pipe, which can be read only once", () => {
  it("is used for every connection of the command", async () => {
    await deploy(before);
    await using etcd = await startTlsEtcd();
    const { certFile, keyFile } = clientFiles();
    const flags = ["--endpoints", etcd.endpoint, "--cacert", file("pipe"), "--cert", certFile, "--key", keyFile];
    await promisify(execFile)("mkfifo", [file("pipe")]);
    await using leader = spawnNode([tenureBin, "leader", "nobody", ...flags]);
    // Waits for the command to read.
    await settled(writeFile(file("pipe"), await readFile(before.caFile)), { what: "reader", timeoutMs: patienceMs });
    expect(await leader.exit()).toMatchObject({ code: 3, stderr: "tenure: nobody leads nobody\n" });
  });
});

describe("a server that is addressed by another name than its certificate carries", () => {
  it("is trusted when the command is told that name", async () => {
    await deploy(before);
    await using etcd = await startTlsEtcd();
    const { caFile, certFile, keyFile } = clientFiles();
    const leader = ["leader", "nobody", "--cacert", caFile, "--cert", certFile, "--key", keyFile];
    const command = [tenureBin, ...leader, "--endpoints", etcd.endpoint, "--timeout", "1", "--server-name"];
    expect(await run([...command, "etcd.internal"])).toMatchObject({ code: 3 });
    expect(await run([...command, "db.internal"])).toMatchObject({
      code: 69,
      stderr: expect.stringMatching(/^tenure: .*for another name: it carries .*, not db\.internal\n$/) as string,
    });
  });
});

describe("a user who is known by the name in the certificate", () => {
  it("needs no password", async () => {
    await deploy(before);
    await using etcd = await startTlsEtcd();
    for (const command of [
      "user add root:r00t",
      "user grant-role root root",
      "user add client --no-password",
      "role add nodes",
      "role grant-permission nodes readwrite allowed/ --prefix",
      "user grant-role client nodes",
      "auth enable",
    ]) {
      expect(await etcd.etcdctl(...command.split(" "))).toMatchObject({ code: 0 });
    }
    await using client = connect({ endpoints: [etcd.endpoint], tls: clientFiles() });
    const term = await client.election("allowed/x", { ttlMs: 3000 }).campaign();
    // Keep-alives are let in as well.
    await pause(4000);
    expect(term.signal.reason).toBeUndefined();
    await expect(client.election("other").campaign()).rejects.toMatchObject({ code: "permission-denied" });
    await term.resign();
  });
});

describe("a connection that cannot be made says why", () => {
  let etcd: RealEtcd;
  /** Certificates of the client that etcd does not take. */
  let expired: CertificateFiles;
  let foreign: CertificateFiles;

  beforeAll(async () => {
    await deploy(before);
    etcd = await startTlsEtcd();
    [expired, foreign] = await Promise.all([before.issue("expired", { days: -1 }), after.issue("foreign")]);
  });
  afterAll(() => etcd.stop());

  it("with everything right it can be made, by the server's other name too", async () => {
    for (const serverName of [undefined, "127.0.0.1", "etcd.internal"]) {
      await using client = connect({ endpoints: [etcd.endpoint], tls: { ...clientFiles(), serverName } });
      await expect(client.ready()).resolves.toBeUndefined();
    }
  });

  it.each<[string, () => TlsOptions, RegExp]>([
    ["an authority that did not sign", () => ({ caFile: after.caFile }), /not signed by an authority we trust/],
    ["no authority but the system's", () => ({ caFile: undefined }), /not signed by an authority we trust/],
    ["a wrong name", () => ({ serverName: "db.internal" }), /another name: it carries .*etcd\.internal, not db\.int/],
    [
      "a wrong address",
      () => ({ serverName: "10.0.0.1" }),
      /another name: it carries .*127\.0\.0\.1.*, not 10\.0\.0\.1/,
    ],
    ["no certificate", () => ({ certFile: undefined, keyFile: undefined }), /it wants a client certificate$/],
    ["an expired one", () => expired, /refuses the certificate .*before-expired\.pem: it has expired$/],
    ["one of another authority", () => foreign, /refuses .*foreign\.pem: no authority that it trusts has signed it$/],
    ["another key", () => ({ keyFile: foreign.keyFile }), /foreign\.key cannot be used: they do not belong together$/],
    ["a file that is not there", () => ({ caFile: file("none") }), /authority .*none cannot be read: there is no such/],
    ["a file that is a folder", () => ({ keyFile: dir }), /the key .* cannot be read: EISDIR/],
    ["a file of something else", () => ({ caFile: foreign.keyFile }), /authority .*\.key is no certificate in PEM$/],
  ])("%s", async (_, wrong, says) => {
    expect(await refusal(etcd.endpoint, { ...clientFiles(), ...wrong() })).toMatch(says);
  });

  describe("when the server's own certificate has expired", () => {
    beforeEach(async () => {
      const server = await before.issue("late", { days: -1 });
      await replace({ "server.pem": server.certFile, "server.key": server.keyFile });
    });
    afterEach(() => deploy(before));

    it("names that", async () => {
      expect(await refusal(etcd.endpoint, clientFiles())).toMatch(/the server's certificate has expired$/);
    });
  });

  it("https against a port without TLS", async () => {
    await using plain = await startEtcd();
    expect(await refusal(plain.endpoint.replace("http:", "https:"), {})).toMatch(/is it an http:\/\/ endpoint\?$/);
  });

  it("http against a port with TLS", async () => {
    await using client = new EtcdClient({ endpoints: [etcd.endpoint.replace("https:", "http:")] });
    await expect(client.kv.range("k")).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringMatching(/https:\/\/\?$/) as string,
    });
  });
});
