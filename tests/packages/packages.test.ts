import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { root } from "../support/process.ts";

const run = promisify(execFile);
const PACKAGES = ["etcd", "tenure", "embed", "cli"];
const SETUP_MS = 180_000;

/** The packages as users get them: packed, and installed into an empty project outside the repository. */
describe("the packed packages, in an empty project", () => {
  let project = "";

  beforeAll(async () => {
    project = await mkdtemp(join(tmpdir(), "tenure-packages-"));
    const tarballs = join(project, "tarballs");
    await mkdir(tarballs);
    const workspaces = PACKAGES.flatMap((name) => ["--workspace", `packages/${name}`]);
    await run("npm", ["pack", ...workspaces, "--pack-destination", tarballs, "--silent"], { cwd: root });
    const files = (await readdir(tarballs)).map((file) => `file:${join(tarballs, file)}`);
    await writeFile(join(project, "package.json"), JSON.stringify({ name: "empty", private: true, type: "module" }));
    const install = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline", ...files];
    await run("npm", install, { cwd: project });
  }, SETUP_MS);

  afterAll(() => rm(project, { recursive: true, force: true }));

  const node = async (script: string): Promise<string> => {
    await writeFile(join(project, "script.mjs"), script);
    const { stdout } = await run(process.execPath, ["--unhandled-rejections=strict", "script.mjs"], { cwd: project });
    return stdout.trim();
  };

  it("import and elect, with the embedded etcd", async () => {
    const script = `
      import { startEmbed } from "@tenure/embed";
      import { connect } from "tenure";
      const server = await startEmbed();
      const etcd = connect({ endpoints: [server.endpoint] });
      const term = await etcd.election("packed").campaign("value");
      console.log(term.held, term.key === "packed/" + term.leaseId.toString(16));
      await etcd.close();
      await server.close();`;
    expect(await node(script)).toBe("true true");
  });

  it("answer as the command tenure", async () => {
    const { stdout } = await run("npx", ["tenure", "--version"], { cwd: project });
    const { version } = JSON.parse(await readFile(join(root, "packages/cli/package.json"), "utf8")) as {
      version: string;
    };
    expect(stdout.trim()).toBe(version);
    const { stdout: demo } = await run("npx", ["tenure", "demo", "--failovers", "1", "--json"], { cwd: project });
    expect(demo).toContain('"kind":"resign"');
  });

  it.each(["nodenext", "bundler"])("have types that hold under moduleResolution %s", async (resolution) => {
    await mkdir(join(project, "node_modules/@types"), { recursive: true });
    for (const types of ["node", "undici-types"]) {
      const from = types === "node" ? "node_modules/@types/node" : "node_modules/undici-types";
      const to = join(project, from);
      await rm(to, { recursive: true, force: true });
      await symlink(join(root, from), to);
    }
    await writeFile(
      join(project, "use.ts"),
      `import { connect, type Leader, type Term, TenureError, put } from "tenure";
       import { startEmbed, type EmbedServer } from "@tenure/embed";
       import { startEmbed as startTestEmbed, type TestServer } from "@tenure/embed/testing";
       import { EtcdClient, type EtcdErrorCode } from "@tenure/etcd";
       export async function use(server: EmbedServer, signal: AbortSignal): Promise<bigint> {
         await using etcd = connect({ endpoints: [server.endpoint] });
         const term: Term = await etcd.election("x", { ttlMs: 5000 }).campaign("v", { signal });
         await etcd.txn().if(...term.guard()).success(put("k", "v")).commit();
         for await (const leader of etcd.election("x").observe()) {
           const each: Leader | null = leader;
           return each?.revision ?? 0n;
         }
         // @ts-expect-error a value is text or bytes
         await term.proclaim(1);
         const code: EtcdErrorCode = "compacted";
         if (TenureError.from(new Error(code)).code === "aborted") throw new TypeError();
         await using client = new EtcdClient();
         void client; void startEmbed;
         const test: TestServer = await startTestEmbed();
         await test.advance(test.leases().length);
         return term.token;
       }`,
    );
    const options = {
      compilerOptions: {
        target: "es2023",
        lib: ["es2023", "esnext.disposable"],
        module: resolution === "nodenext" ? "nodenext" : "esnext",
        moduleResolution: resolution,
        types: ["node"],
        strict: true,
        exactOptionalPropertyTypes: true,
        skipLibCheck: true,
        noEmit: true,
      },
      files: ["use.ts"],
    };
    await writeFile(join(project, "tsconfig.json"), JSON.stringify(options));
    const checked = await run(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", "."], {
      cwd: project,
    }).catch((error: { stdout: string }) => error);
    expect(checked.stdout).toBe("");
  });

  it("hold nothing but what they need", async () => {
    for (const name of ["@tenure/etcd", "tenure", "@tenure/embed", "@tenure/cli"]) {
      const files = await readdir(join(project, "node_modules", name), { recursive: true });
      const own = files.filter((file) => !file.includes("node_modules"));
      expect(own.filter((file) => /\.test\.|tsbuildinfo|tsconfig|(^|\/)testing(\/|$)/.test(file))).toEqual([]);
      expect(own).toContain("README.md");
      expect(own).toContain("LICENSE");
    }
  });
});
