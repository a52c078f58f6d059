// The embedded etcd with TLS, and addresses that need it.
import { once } from "node:events";
import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect as connectTcp } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { type EmbedOptions, type EmbedServer, type EmbedTls, startEmbed } from "@tenure/embed";
import { EtcdClient, type EtcdClientOptions, type TlsOptions } from "@tenure/etcd";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Authority, type CertificateFiles, createAuthority } from "../support/certificates.ts";
import { settled } from "../support/until.ts";
import { ctl, outputsOf } from "../interop/support/side-by-side.ts";

let dir: string;
let authority: Authority;
let stranger: Authority;
let serverFiles: CertificateFiles;
const things: AsyncDisposable[] = [];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "tenure-secure-"));
  [authority, stranger] = await Promise.all([createAuthority(dir, "known"), createAuthority(dir, "stranger")]);
  serverFiles = await authority.issue("server");
});
afterEach(async () => {
  for (const thing of things.splice(0)) await thing[Symbol.asyncDispose]();
});
afterAll(() => rm(dir, { recursive: true }));

function use<T extends AsyncDisposable>(thing: T): T {
  things.unshift(thing);
  return thing;
}

async function start({
  clientCa,
  ...options
}: EmbedOptions & { readonly clientCa?: string } = {}): Promise<EmbedServer> {
  const [cert, key] = await Promise.all([readFile(serverFiles.certFile), readFile(serverFiles.keyFile)]);
  const ca = clientCa === undefined ? {} : { clientCa: await readFile(clientCa) };
  return use(await startEmbed({ ...options, tls: { cert, key, ...ca } }));
}

function client(server: EmbedServer, tls: TlsOptions, options: EtcdClientOptions = {}): EtcdClient {
  return use(new EtcdClient({ endpoints: [server.endpoint], tls, ...options }));
}

/** The options of TLS with which a client shows a certificate. */
async function certified(name: string, by: Authority = authority): Promise<TlsOptions> {
  const { certFile, keyFile } = await by.issue(name);
  return { caFile: authority.caFile, certFile, keyFile };
}

/** The common name in the certificate that a new connection is shown. */
async function nameShownBy(port: number): Promise<string> {
  const socket = connectTls({ port, host: "127.0.0.1", ca: await readFile(authority.caFile) });
  await settled(once(socket, "secureConnect"), { what: "handshake" });
  const { CN } = socket.getPeerCertificate().subject;
  socket.destroy();
  return String(CN);
}

describe("an embedded etcd with TLS", () => {
  it("serves those who trust its certificate", async () => {
    const server = await start();
    expect(server.endpoint).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
    const { kv } = client(server, { caFile: authority.caFile });
    await kv.put("a", "1");
    expect(Buffer.from((await kv.get("a"))?.value ?? []).toString()).toBe("1");
    await expect(client(server, { caFile: stranger.caFile }).kv.get("a")).rejects.toThrow(/certificate/);
  });

  it("serves etcdctl", async () => {
    const { endpoint } = await start();
    const ca = `--cacert=${authority.caFile}`;
    const outputs = await outputsOf(endpoint, [ctl(`${ca} put a 1`), ctl(`${ca} get a`), ctl(`${ca} endpoint health`)]);
    expect(outputs).toMatchObject([{ stdout: "OK\n" }, { stdout: "a\n1\n" }, { code: 0 }]);
  });

  it("drops who speaks cleartext, and serves on", async () => {
    const server = await start();
    const socket = connectTcp(server.port, "127.0.0.1").on("error", () => undefined);
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    await settled(closed, { what: "end of the connection" });
    const { header } = await client(server, { caFile: authority.caFile }).kv.put("a", "1");
    expect(header?.revision).toBeGreaterThan(0n);
  });

  it("closes connections that have not shaken hands", async () => {
    const server = await start();
    const socket = connectTcp(server.port, "127.0.0.1").on("error", () => undefined);
    const closed = new Promise((resolve) => socket.once("close", resolve));
    await new Promise((resolve) => socket.once("connect", resolve));
    await settled(server.close(), { what: "end of the server" });
    expect(await settled(closed, { what: "end of the connection" })).toBe(false);
  });

  it("wants certificates of its clients when it is given their authority", async () => {
    const server = await start({ clientCa: authority.caFile });
    await client(server, await certified("ann")).kv.put("a", "1");
    const { caFile } = authority;
    for (const tls of [{ caFile }, await certified("ann", stranger)]) {
      const get = client(server, tls).kv.get("a", { timeoutMs: 1_000 });
      // With TLS 1.3 a client takes the handshake for done before the server has looked at its certificate.
      const refusal = /the server refuses the TLS handshake|no answer in time|the connection was lost/;
      await expect(get).rejects.toThrow(refusal);
    }
  });

  it("knows users by the common names of their certificates", async () => {
    const server = await start({ clientCa: authority.caFile });
    const { certFile, keyFile } = await authority.issue("root");
    const asRoot = `--cacert=${authority.caFile} --cert=${certFile} --key=${keyFile}`;
    const setUp = ["user add root:pw", "user add --no-password ann", "role add r", "auth enable"];
    const grants = ["role grant-permission r readwrite a", "user grant-role ann r"];
    const commands = [...setUp, ...grants].map((line) => ctl(`${asRoot} ${line}`));
    const outputs = await outputsOf(server.endpoint, commands);
    expect(outputs.map(({ code }) => code)).toEqual(commands.map(() => 0));
    const ann = client(server, await certified("ann"));
    await ann.kv.put("a", "1");
    await expect(ann.kv.put("b", "1")).rejects.toMatchObject({ code: "permission-denied" });
    const nobody = client(server, await certified("nobody"));
    await expect(nobody.kv.put("a", "1")).rejects.toMatchObject({ code: "permission-denied" });
    const withToken = client(server, await certified("ann"), { auth: { user: "root", password: "pw" } });
    await withToken.kv.put("b", "1");
  });

  it("takes a renewed certificate for new connections, and the last good one while its files are bad", async () => {
    const [certFile, keyFile] = [join(dir, "renewed.pem"), join(dir, "renewed.key")];
    const put = async (files: CertificateFiles): Promise<void> => {
      await copyFile(files.certFile, certFile);
      await copyFile(files.keyFile, keyFile);
    };
    const warnings: string[] = [];
    await put(await authority.issue("first"));
    const server = use(
      await startEmbed({ tls: { certFile, keyFile, warn: (message) => void warnings.push(message) } }),
    );
    const shown = (): Promise<string> => nameShownBy(server.port);
    const first = client(server, { caFile: authority.caFile });
    await first.kv.put("a", "1");
    expect(await shown()).toBe("first");
    await put(await authority.issue("second"));
    expect(await shown()).toBe("second");
    await writeFile(certFile, "nonsense");
    expect([await shown(), await shown()]).toEqual(["second", "second"]);
    await rm(keyFile);
    expect([await shown(), await shown()]).toEqual(["second", "second"]);
    expect(warnings).toEqual([
      expect.stringMatching(/^the certificate and its key cannot be used: .*; the last good ones are used$/),
      expect.stringMatching(/^keyFile .*renewed\.key cannot be read: ENOENT; the last good ones are used$/),
    ]);
    await put(await authority.issue("third"));
    expect(await shown()).toBe("third");
    // The connection of before goes on.
    await first.kv.put("a", "2");
  });

  it("does not start with a certificate that cannot be used", async () => {
    const [cert, key] = await Promise.all([
      readFile(serverFiles.certFile),
      readFile((await authority.issue("x")).keyFile),
    ]);
    const broken: readonly (readonly [EmbedTls, RegExp])[] = [
      [{ cert: "nonsense", key }, /^the certificate and its key cannot be used: .+$/],
      [{ cert, key }, /^the certificate and its key cannot be used: .+$/],
      [{ cert }, /^TLS needs a certificate and its key$/],
      [{ cert, key, keyFile: "key.pem" }, /^key and keyFile are both given$/],
      [{ cert, keyFile: "/nowhere" }, /^keyFile \/nowhere cannot be read: ENOENT$/],
      [{ cert, key, clientCaFile: "/nowhere" }, /^clientCaFile \/nowhere cannot be read: ENOENT$/],
    ];
    for (const [tls, message] of broken) {
      await expect(startEmbed({ tls })).rejects.toMatchObject({
        code: "INVALID_TLS",
        message: expect.stringMatching(message),
      });
    }
  });
});

describe("an address that other machines can reach", () => {
  it("needs TLS or an explicit option", async () => {
    for (const host of ["0.0.0.0", "::", "192.0.2.1", "127.example.org", ""]) {
      await expect(startEmbed({ host })).rejects.toMatchObject({ code: "INSECURE_ADDRESS" });
    }
    const open = use(await startEmbed({ host: "0.0.0.0", allowInsecure: true }));
    expect(open.port).toBeGreaterThan(0);
    expect((await start({ host: "0.0.0.0" })).port).toBeGreaterThan(0);
  });
});
