import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { EtcdClient } from "@tenure/etcd";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { findEtcd } from "../../scripts/lib/etcd.mjs";
import { killSoak } from "../../scripts/lib/kill-soak.mjs";
import { launch } from "../support/children.ts";
import { type NodeProcess, tenureBin } from "../support/process.ts";
import { startTenure, tenure } from "./tenure.ts";

const LOG = "00000001.log";
const exec = promisify(execFile);

let parent: string;
let directory: string;
let running: NodeProcess[];

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), "tenure-data-dir-"));
  directory = join(parent, "data");
  running = [];
});

afterEach(async () => {
  await Promise.all(running.map((dev) => dev[Symbol.asyncDispose]()));
  await rm(parent, { recursive: true });
});

interface Dev {
  readonly process: NodeProcess;
  readonly etcdctl: (...args: string[]) => Promise<string>;
}

async function start(): Promise<Dev> {
  const dev = startTenure(["dev", "--listen", "127.0.0.1:0", "--data-dir", directory, "-o", "json"]);
  running.push(dev);
  const { endpoint } = JSON.parse(await dev.line(/^\{/)) as { endpoint: string };
  const { etcdctl } = await findEtcd("3.5");
  const env = { PATH: process.env["PATH"], ETCDCTL_API: "3", ETCDCTL_ENDPOINTS: endpoint };
  return {
    process: dev,
    etcdctl: async (...args) => (await exec(etcdctl, args, { env })).stdout,
  };
}

/** All that etcdctl shows of a store and a restart must not change. */
async function shownBy({ etcdctl }: Dev): Promise<unknown> {
  const [hash] = JSON.parse(await etcdctl("endpoint", "hashkv", "-w", "json")) as { HashKV: HashKv }[];
  const keys = await etcdctl("get", "", "--prefix", "-w", "json");
  const leases = await etcdctl("lease", "list");
  const auth = [await etcdctl("user", "list"), await etcdctl("role", "get", "reader")];
  return { hash: hash?.HashKV, keys, leases, auth };
}

interface HashKv {
  readonly hash: number;
  readonly compact_revision: number;
}

async function fill({ etcdctl }: Dev): Promise<void> {
  await etcdctl("put", "a", "1");
  const lease = (await etcdctl("lease", "grant", "600")).split(" ")[1] ?? "";
  await etcdctl("put", "b", "2", `--lease=${lease}`);
  await etcdctl("put", "a", "3");
  await etcdctl("del", "a");
  await etcdctl("put", "a", "4");
  const { header } = JSON.parse(await etcdctl("get", "a", "-w", "json")) as { header: { revision: number } };
  await etcdctl("compact", String(header.revision));
  await etcdctl("put", "c", "5");
  await etcdctl("role", "add", "reader");
  await etcdctl("role", "grant-permission", "reader", "read", "a", "b");
  await etcdctl("user", "add", "root:secret");
}

async function contents(): Promise<unknown> {
  const names = (await readdir(directory)).filter((name) => !name.startsWith("lock"));
  return await Promise.all(names.map(async (name) => [name, await readFile(join(directory, name))]));
}

describe("tenure dev --data-dir", () => {
  it("shows the same after it was killed, and after it was stopped", async () => {
    const first = await start();
    await fill(first);
    const shown = await shownBy(first);
    first.process.signal("SIGKILL");
    await first.process.exit();
    const second = await start();
    expect(await shownBy(second)).toEqual(shown);
    second.process.signal("SIGTERM");
    expect(await second.process.exit()).toMatchObject({ code: 0, stderr: "" });
    expect(await shownBy(await start())).toEqual(shown);
  });

  it("loses nothing that it acknowledged, however often it is killed under load", async () => {
    const { problems, acknowledged, compared } = await killSoak({ kills: 6, seed: 1 });
    expect(problems).toEqual([]);
    expect(acknowledged).toBeGreaterThan(100);
    expect(compared).toBeGreaterThan(100);
  });

  it("cuts off an unfinished write, and says so in one line", async () => {
    const first = await start();
    await first.etcdctl("put", "a", "1");
    await first.etcdctl("put", "b", "2");
    first.process.signal("SIGKILL");
    await first.process.exit();
    const log = await readFile(join(directory, LOG));
    await writeFile(join(directory, LOG), log.subarray(0, -3));
    const second = await start();
    expect(await second.etcdctl("get", "", "--prefix", "--keys-only")).toBe("a\n\n");
    expect(second.process.stderr).toMatch(/^tenure: .*00000001\.log: cut off \d+ bytes of a write .*\n$/);
  });

  it("refuses a damaged file by name and place, and changes nothing", async () => {
    const first = await start();
    await fill(first);
    first.process.signal("SIGKILL");
    await first.process.exit();
    const log = await readFile(join(directory, LOG));
    log[100] = (log[100] ?? 0) ^ 1;
    await writeFile(join(directory, LOG), log);
    const before = await contents();
    const { code, stderr } = await tenure(["dev", "--listen", "127.0.0.1:0", "--data-dir", directory]);
    expect([code, stderr]).toEqual([
      78,
      expect.stringMatching(/^tenure: --data-dir: .*00000001\.log is damaged at byte 53: .*\n$/),
    ]);
    expect(await contents()).toEqual(before);
  });

  it("ends when it cannot write, and has acknowledged nothing that is not there", async () => {
    // The system refuses to let files grow beyond 64 KiB, as a full disk would.
    const limited = 'ulimit -f 64; trap "" XFSZ; exec "$@"';
    const args = ["dev", "--listen", "127.0.0.1:0", "--data-dir", directory, "-o", "json"];
    const shell = ["-c", limited, "bash", process.execPath, tenureBin, ...args];
    const child = launch("bash", shell, { env: process.env });
    const said: string[] = [];
    child.stderr.setEncoding("utf8").on("data", (text: string) => said.push(text));
    const closed = once(child, "close");
    const [line] = (await once(createInterface(child.stdout), "line")) as [string];
    const { endpoint } = JSON.parse(line) as { endpoint: string };
    await using client = new EtcdClient({ endpoints: [endpoint] });
    const acknowledged: string[] = [];
    for (let key = 0; key < 10; key += 1) {
      const put = client.kv.put(String(key), "x".repeat(20_000), { timeoutMs: 2000 });
      await put.then(() => acknowledged.push(String(key))).catch(() => undefined);
      if (acknowledged.length <= key) break;
    }
    expect(await closed).toEqual([74, null]);
    expect(said.join("")).toMatch(/^tenure: --data-dir: .* cannot be written: EFBIG; .*\n$/);
    const again = await start();
    const kept = (await again.etcdctl("get", "", "--prefix", "--keys-only")).split("\n").filter((each) => each !== "");
    expect(acknowledged.length).toBeGreaterThan(0);
    expect(kept).toEqual(acknowledged);
  });

  it("refuses a directory that another process uses, naming that", async () => {
    const first = await start();
    const { code, stderr } = await tenure(["dev", "--listen", "127.0.0.1:0", "--data-dir", directory]);
    expect([code, stderr]).toEqual([78, expect.stringContaining(`process ${first.process.pid} uses it`)]);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
  });

  it("refuses in one line what cannot be a data directory", async () => {
    const file = join(parent, "file");
    await writeFile(file, "");
    for (const [path, why] of [
      [file, `${file} cannot be used: it is not a directory`],
      [parent, `is no data directory of this server: it holds`],
    ] as const) {
      const { code, stderr } = await tenure(["dev", "--listen", "127.0.0.1:0", "--data-dir", path]);
      expect([code, stderr]).toEqual([78, expect.stringContaining(why)]);
      expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    }
    expect(await tenure(["dev", "--unsafe-no-fsync"])).toMatchObject({ code: 64 });
  });
});
