import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createAuthority } from "../support/certificates.ts";
import { root, run, type RunResult, tenureBin } from "../support/process.ts";
import { type RealEtcd, startEtcd } from "../support/real-etcd.ts";

const modules = join(root, "node_modules/.cache/tenure-docs-tls");
let text: string;
let dir: string;
let etcd: RealEtcd;

beforeAll(async () => {
  text = await readFile(join(root, "docs/tls-and-auth.md"), "utf8");
  dir = await mkdtemp(join(tmpdir(), "tenure-docs-"));
  const authority = await createAuthority(dir, "authority");
  const [server, client] = await Promise.all([authority.issue("server"), authority.issue("client")]);
  await copyFile(authority.caFile, join(dir, "ca.pem"));
  await copyFile(client.certFile, join(dir, "client.pem"));
  await copyFile(client.keyFile, join(dir, "client.key"));
  await writeFile(join(dir, "password"), "Tr0ub4dor\n");
  etcd = await startEtcd({ tls: { caFile: authority.caFile, ...server, client } });
  const users = ["user add root:r00t", "user grant-role root root", ...lines("etcdctl"), "auth enable"];
  for (const command of users) {
    const { code, stderr } = await etcd.etcdctl(...command.split(" "));
    if (code !== 0) throw new Error(`etcdctl ${command}: ${stderr}`);
  }
  await mkdir(modules, { recursive: true });
});
afterAll(async () => {
  await etcd.stop();
  await Promise.all([dir, modules].map((folder) => rm(folder, { recursive: true })));
});

/** The document's command lines of one program, without its name. */
function lines(program: string): string[] {
  const blocks = [...text.matchAll(/```sh\n([^]*?)```/g)].flatMap(([, block = ""]) => block.trim().split("\n"));
  return blocks.filter((line) => line.startsWith(`${program} `)).map((line) => line.slice(program.length + 1));
}

function here(snippet: string): string {
  return snippet.replaceAll("https://127.0.0.1:2379", etcd.endpoint);
}

describe("docs/tls-and-auth.md", () => {
  it("has code that is elected", async () => {
    const [, snippet = ""] = /```js\n([^]*?)```/.exec(text) ?? [];
    const file = join(modules, "snippet.mjs");
    // What Node.js 20 cannot read.
    const code = here(snippet).replace("await using etcd", "const etcd");
    await writeFile(file, `${code}\nawait etcd.close();\n`);
    const result: RunResult = await run([file], { cwd: dir });
    expect(result).toMatchObject({
      code: 0,
      stderr: "",
      stdout: expect.stringMatching(/^I lead, token \d+\n$/) as string,
    });
  });

  it("has commands that are let in", async () => {
    const [command = ""] = lines("tenure");
    const result = await run([tenureBin, ...here(command).split(" ")], { cwd: dir });
    expect(result).toMatchObject({ code: 3, stderr: "tenure: nobody leads jobs/nightly\n" });
  });

  it("names the messages as the code has them", async () => {
    const sources = [
      "etcd/src/tls.ts",
      "etcd/src/auth.ts",
      "etcd/src/transport.ts",
      "tenure/src/errors.ts",
      "cli/src/main.ts",
    ];
    const code = await Promise.all(sources.map((file) => readFile(join(root, "packages", file), "utf8")));
    const messages = [...text.matchAll(/^\| (?!message|---)(.+?) \|/gm)].map(([, message = ""]) => message);
    expect(messages.length).toBeGreaterThan(5);
    const parts = messages
      .flatMap((message) => message.split(/…|: /).map((part) => part.trim()))
      .filter((part) => part !== "");
    expect(parts.filter((part) => !code.some((source) => source.includes(part)))).toEqual([]);
  });
});
