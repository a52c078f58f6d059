import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer, type Server } from "node:tls";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connect } from "tenure";
import { type RealEtcd, startEtcd } from "../support/real-etcd.ts";
import { type Env, keys, linesOf, tenure } from "./tenure.ts";

const SECRET = "c4nary";

let etcd: RealEtcd;
let tls: Server;
let tlsPort: number;
let dir: string;
const file = (name: string): string => join(dir, name);

beforeAll(async () => {
  [etcd, dir] = await Promise.all([startEtcd(), mkdtemp(join(tmpdir(), "tenure-bad-input-"))]);
  await Promise.all([certificate("server"), certificate("other"), writeFile(file("password"), `${SECRET}\n`)]);
  tls = createServer({ cert: await readFile(file("server.pem")), key: await readFile(file("server.key")) });
  tls.on("tlsClientError", () => undefined);
  tls.listen(0, "127.0.0.1");
  await once(tls, "listening");
  tlsPort = (tls.address() as AddressInfo).port;
});
afterAll(async () => {
  tls.close();
  await etcd.stop();
  await rm(dir, { recursive: true });
});

async function certificate(name: string): Promise<void> {
  const subject = ["-subj", `/CN=${name}`, "-addext", "subjectAltName=IP:127.0.0.1"];
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", file(`${name}.key`)];
  await promisify(execFile)("openssl", ["req", "-x509", ...key, "-out", file(`${name}.pem`), "-days", "2", ...subject]);
}

interface Refusal {
  readonly code: number | null;
  readonly stdout: string;
  readonly errors: readonly string[];
  readonly leaks: boolean;
}

/** Runs a command that must fail: what it showed. */
async function refusal(args: readonly string[], env: Env = {}): Promise<Refusal> {
  const { code, stdout, stderr } = await tenure(args, env);
  return { code, stdout, errors: linesOf(stderr), leaks: (stdout + stderr).includes(SECRET) };
}

/** What every refusal looks like: an exit code and one line, which says what is wrong and gives no secret away. */
function refused(code: number, says: RegExp): Refusal {
  const line: unknown = expect.stringMatching(new RegExp(`^tenure: .*${says.source.replace(/^\^tenure: /, "")}`));
  return { code, stdout: "", errors: [line as string], leaks: false };
}

describe("a command line that cannot be meant so", () => {
  it.each<[string, string[], RegExp]>([
    ["no name", ["elect"], /missing required argument 'NAME'/],
    ["an empty name", ["elect", ""], /name is empty/],
    ["a name of slashes in a namespace", ["--namespace", "/n/", "leader", "//"], /name is empty/],
    ["a control character in a name", ["elect", "a\tb"], /the name "a\\tb" has a control character/],
    ["a line break in a name", ["leader", "a\nb"], /the name "a\\nb" has a control character/],
    ["a control character in a namespace", ["leader", "x", "--namespace", "a\u001Bb"], /the namespace .* control char/],
    ["a command that does not exist", ["frobnicate"], /unknown command 'frobnicate'/],
    ["a mistyped command", ["leadr", "x"], /unknown command 'leadr' \(Did you mean leader\?\)/],
    ["a flag that does not exist", ["leader", "x", "--frob"], /unknown option '--frob'/],
    [
      "a mistyped flag",
      ["leader", "x", "--endpoint", "a"],
      /unknown option '--endpoint' \(Did you mean --endpoints\?\)/,
    ],
    ["a flag without its value", ["leader", "x", "--endpoints"], /'--endpoints <URLS>' argument missing/],
    ["one argument too many", ["leader", "x", "y"], /too many arguments for 'leader'/],
    ["userinfo", ["leader", "x", "--endpoints", `http://root:${SECRET}@127.0.0.1:1`], /must not hold a user/],
    ["userinfo without a scheme", ["leader", "x", "--endpoints", `root:${SECRET}@127.0.0.1:1`], /must not hold a user/],
    ["a slash in userinfo", ["leader", "x", "--endpoints", `http://r:a/${SECRET}@127.0.0.1:1`], /endpoint/],
    ["userinfo after one slash", ["leader", "x", "--endpoints", `http:/r:${SECRET}@127.0.0.1:1`], /endpoint/],
    ["a port above 65535", ["leader", "x", "--endpoints", "http://127.0.0.1:65536"], /port 65536 is above 65535/],
    ["a port of 0", ["leader", "x", "--endpoints", "http://127.0.0.1:0"], /port 0/],
    ["a malformed endpoint", ["leader", "x", "--endpoints", "http://:::"], /endpoint "http:\/\/:::" is malformed/],
    ["white space in an endpoint", ["leader", "x", "--endpoints", "http://a b"], /white space/],
    [
      "an empty endpoint",
      ["leader", "x", "--endpoints", "http://a:1,,http://b:1"],
      /endpoint is empty, perhaps by a comma too many/,
    ],
    ["a path in an endpoint", ["leader", "x", "--endpoints", "http://a:1/v3"], /must end after the port/],
    ["a foreign scheme", ["leader", "x", "--endpoints", "ftp://a"], /ftp:\/\/ but must be http:\/\/ or https:\/\//],
    ["http and https mixed", ["leader", "x", "--endpoints", "http://a:1,https://b:1"], /mix http and https/],
    ...["0", "-1", "1.5", "abc", "", "9000000001"].map((ttl): [string, string[], RegExp] => [
      `a TTL of "${ttl}"`,
      ["elect", "x", `--ttl=${ttl}`],
      /^tenure: --ttl: ".*" is not a whole number of seconds from 1 to 9000000000$/m,
    ]),
    ...["0", "-1", "abc", "1e3", "Infinity"].map((limit): [string, string[], RegExp] => [
      `a timeout of "${limit}"`,
      ["elect", "x", `--timeout=${limit}`],
      /^tenure: --timeout: ".*" is not a number of seconds above 0$/m,
    ]),
    ["an unknown output", ["leader", "x", "--output", "xml"], /unknown output "xml": use table, json or jsonl/],
    ["a password in argv", ["leader", "x", "--user", `root:${SECRET}`], /--password-file/],
    ["etcdctl's flag for it", ["leader", "x", `--password=${SECRET}`], /unknown option '--password/],
    ["a user without a password", ["leader", "x", "--user", "root"], /user "root" needs a password/],
    ["a certificate without its key", ["leader", "x", "--endpoints", "https://a", "--cert", "c"], /--cert needs --key/],
    ["a key without its certificate", ["leader", "x", "--endpoints", "https://a", "--key", "k"], /--key needs --cert/],
    ["a listen address without a port", ["dev", "--listen", "localhost"], /"localhost" is not HOST:PORT/],
    ["a listen address with a large port", ["dev", "--listen", "127.0.0.1:70000"], /ports end at 65535/],
    ["an address for everybody", ["dev", "--listen", "0.0.0.0:0"], /give it --cert-file and --key-file, or --allow-/],
    ["a server's key alone", ["dev", "--key-file", "k"], /TLS needs both --cert-file and --key-file/],
    ["a token that never lives", ["dev", "--auth-token-ttl", "0"], /"0" is no whole number of seconds from 1 on/],
    ["a shell without completion", ["completion", "tcsh"], /'tcsh' is invalid .* bash, zsh, fish/],
  ])("%s: 64", async (_, args, says) => {
    expect(await refusal(args, { TENURE_ENDPOINTS: etcd.endpoint })).toEqual(refused(64, says));
  });

  it("names the variable that a wrong value comes from", async () => {
    const leader = (env: Env): Promise<Refusal> => refusal(["leader", "x"], env);
    expect(await leader({ TENURE_TTL: "abc" })).toEqual(refused(64, /^tenure: TENURE_TTL: "abc"/));
    expect(await leader({ TENURE_OUTPUT: "xml" })).toEqual(refused(64, /^tenure: TENURE_OUTPUT: /));
    const secret = { ETCDCTL_ENDPOINTS: `http://root:${SECRET}@a:1` };
    expect(await leader(secret)).toEqual(refused(64, /^tenure: ETCDCTL_ENDPOINTS: /));
  });

  it("nothing at all: 64 and help", async () => {
    expect(await tenure([])).toMatchObject({ code: 64, stdout: "", stderr: expect.stringContaining("Usage: tenure") });
  });
});

describe("a store that cannot be reached", () => {
  it.each(["elect", "observe", "leader", "status", "resign"])("nothing listens there: %s: 69", async (command) => {
    expect(await refusal([command, "x", "--endpoints", "http://127.0.0.1:1"])).toEqual(
      refused(69, /127\.0\.0\.1:1: connection refused/),
    );
  });

  it("a host that does not exist: 69", async () => {
    expect(await refusal(["leader", "x", "--endpoints", "http://no-such-host.invalid:1"])).toEqual(
      refused(69, /no-such-host\.invalid/),
    );
  });

  it("https against a plain port: 69", async () => {
    const { endpoint } = etcd;
    const args = ["leader", "x", "--endpoints", endpoint.replace("http:", "https:")];
    expect(await refusal(args)).toEqual(refused(69, /TLS handshake: is it an http:\/\/ endpoint\?/));
  });

  it.each(["leader", "elect"])("http against a TLS port: %s: 69", async (command) => {
    const args = [command, "x", "--endpoints", `http://127.0.0.1:${tlsPort}`];
    expect(await refusal(args)).toEqual(refused(69, /https/));
  });

  it("a certificate of an authority that is not trusted: 69", async () => {
    const args = ["leader", "x", "--endpoints", `https://127.0.0.1:${tlsPort}`];
    expect(await refusal(args)).toEqual(refused(69, /not signed by an authority we trust: is --cacert right\?/));
    expect(await refusal([...args, "--cacert", file("other.pem")])).toEqual(refused(69, /is --cacert right\?/));
  });

  it("a port in use for dev: 73", async () => {
    const address = etcd.endpoint.replace("http://", "");
    expect(await refusal(["dev", "--listen", address])).toEqual(
      refused(73, new RegExp(`cannot listen on ${address}: .*in use`)),
    );
  });
});

describe("a file that cannot be used: 78", () => {
  const https = (): string[] => ["leader", "x", "--endpoints", `https://127.0.0.1:${tlsPort}`];

  it("a password file that is missing", async () => {
    const args = ["leader", "x", "--user", "root", "--password-file", file("none")];
    expect(await refusal(args)).toEqual(
      refused(78, /^tenure: --password-file: cannot read .*none: there is no such file/),
    );
  });

  it("a certificate file that is missing, or a folder", async () => {
    expect(await refusal([...https(), "--cacert", file("none")])).toEqual(
      refused(78, /--cacert: cannot read .*no such file/),
    );
    expect(await refusal([...https(), "--cacert", dir])).toEqual(refused(78, /--cacert: cannot read .*directory/));
  });

  it("a certificate for endpoints without TLS", async () => {
    const args = ["leader", "x", "--endpoints", "http://127.0.0.1:1", "--cacert", file("server.pem")];
    expect(await refusal(args)).toEqual(refused(78, /--cacert needs https:\/\/ endpoints/));
  });

  it("files that hold no certificate or key", async () => {
    const args = (cert: string, key: string): string[] => [...https(), "--cert", file(cert), "--key", file(key)];
    expect(await refusal(args("password", "server.key"))).toEqual(refused(78, /password/));
    expect(await refusal(args("server.pem", "password"))).toEqual(refused(78, /password/));
    expect(await refusal([...https(), "--cacert", file("password")])).toEqual(refused(78, /password/));
  });

  it("a key that does not belong to the certificate", async () => {
    const pair = ["--cert", file("server.pem"), "--key", file("other.key")];
    expect(await refusal([...https(), ...pair])).toEqual(refused(78, /other\.key/));
  });
});

describe("a value above etcd's limit", () => {
  it("is refused with a clear error, and leaves no key", async () => {
    await using client = connect({ endpoints: [etcd.endpoint] });
    const error = await client
      .election("large")
      .campaign("x".repeat(1_600_000))
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: "TenureError", message: expect.stringMatching(/too large|1\.5 MiB|1572864/) });
    expect(await keys(etcd, "large/")).toEqual([]);
  });
});

describe("auth", () => {
  let guarded: RealEtcd;
  let env: Env;
  beforeAll(async () => {
    guarded = await startEtcd();
    env = { TENURE_ENDPOINTS: guarded.endpoint };
    await writeFile(file("wrong"), "wrong");
    for (const command of [
      `user add root:r00t`,
      "user grant-role root root",
      `user add node:${SECRET}`,
      "role add nodes",
      "role grant-permission nodes readwrite allowed/ --prefix",
      "user grant-role node nodes",
      "auth enable",
    ]) {
      const { code, stderr } = await guarded.etcdctl(...command.split(" "));
      if (code !== 0) throw new Error(`etcdctl ${command}: ${stderr}`);
    }
  });
  afterAll(() => guarded.stop());

  it("a password from a file or the environment lets in", async () => {
    const nobody = { code: 3, stderr: "tenure: nobody leads allowed/x\n" };
    const leader = ["leader", "allowed/x"];
    expect(await tenure([...leader, "--user", "node", "--password-file", file("password")], env)).toMatchObject(nobody);
    expect(await tenure([...leader, "--user", "node"], { ...env, TENURE_PASSWORD: SECRET })).toMatchObject(nobody);
    expect(await tenure(leader, { ...env, ETCDCTL_USER: `node:${SECRET}` })).toMatchObject(nobody);
    expect(await tenure(leader, { ...env, ETCDCTL_USER: "node", ETCDCTL_PASSWORD: SECRET })).toMatchObject(nobody);
  });

  it.each(["elect", "observe", "leader", "status", "resign"])(
    "%s: a wrong password, none, and a missing permission: 77",
    async (command) => {
      const user = ["--user", "node", "--password-file"];
      const wrong = await refusal([command, "allowed/x", ...user, file("wrong")], env);
      expect(wrong).toEqual(refused(77, /etcd refuses the password of user "node"/));
      expect(await refusal([command, "allowed/x"], env)).toEqual(refused(77, /user/));
      expect(await refusal([command, "other", ...user, file("password")], env)).toEqual(refused(77, /permission/));
    },
  );

  it("a missing permission names the key and the user", async () => {
    const user = ["--user", "node", "--password-file", file("password")];
    const [line] = (await refusal(["elect", "other", ...user], env)).errors;
    expect(line).toContain("other/");
    expect(line).toContain('"node"');
  });
});
