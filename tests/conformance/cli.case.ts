import { describe, expect, it } from "vitest";
import type { Harness } from "./harness.ts";
import { type NodeProcess, run, type RunResult, spawnNode, tenureBin } from "../support/process.ts";
import { until } from "../support/until.ts";

// What the developer has set must not point the command elsewhere.
const clean = Object.fromEntries(
  Object.keys(process.env)
    .filter((name) => /^(TENURE|ETCDCTL)_/.test(name))
    .map((name) => [name, undefined]),
);

function started(h: Harness, ...args: string[]): NodeProcess {
  return spawnNode([tenureBin, "--endpoints", h.store.endpoint, ...args], { env: clean });
}

function tenure(h: Harness, ...args: string[]): Promise<RunResult> {
  return run([tenureBin, "--endpoints", h.store.endpoint, ...args], { env: clean });
}

/** The command, against the store. */
export function cliCases(h: Harness): void {
  describe("cli", () => {
    it("elect prints key and value, holds, and resigns when it is told to stop (TestCtlV3Elect)", async () => {
      const name = h.name();
      await using node = started(h, "elect", name, "10.0.0.1:80");
      const key = await node.line(/./);
      expect(key).toMatch(new RegExp(`^${name}/[0-9a-f]+$`));
      expect(await node.line(/./)).toBe("10.0.0.1:80");
      expect(await h.client().election(name).leader()).toMatchObject({ key, value: "10.0.0.1:80" });
      node.signal("SIGINT");
      expect(await node.exit()).toMatchObject({ code: 0 });
      expect(await h.client().election(name).leader()).toBeNull();
    });

    it("a second elect waits and takes over when the first ends (TestCtlV3Elect)", async () => {
      const name = h.name();
      await using first = started(h, "elect", name, "a");
      await first.line(/^a$/);
      await using second = started(h, "elect", name, "b");
      await h.candidates(name, 2);
      expect(second.stdout).toBe("");
      first.signal("SIGTERM");
      await second.line(/^b$/);
      expect(await first.exit()).toMatchObject({ code: 0 });
      second.signal("SIGTERM");
      expect(await second.exit()).toMatchObject({ code: 0 });
    });

    it("elect ends with 75 and leaves nothing when it is not elected in time", async () => {
      const name = h.name();
      const term = await h.client().election(name).campaign("a");
      expect(await tenure(h, "elect", name, "b", "--timeout", "1")).toMatchObject({ code: 75, stdout: "" });
      expect((await h.client().election(name).candidates()).map(({ key }) => key)).toEqual([term.key]);
    });

    it("elect ends with 79 when its key is deleted", async () => {
      const name = h.name();
      await using node = started(h, "elect", name, "a");
      const key = await node.line(/./);
      await node.line(/^a$/);
      await h.etcd().kv.delete(key);
      expect(await node.exit()).toMatchObject({ code: 79 });
    });

    it("leader prints who leads in JSON", async () => {
      const name = h.name();
      const term = await h.client().election(name).campaign("a");
      const { code, stdout } = await tenure(h, "leader", name, "-o", "json");
      expect(code).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({
        election: name,
        leader: { key: term.key, value: "a", revision: String(term.token), lease: term.leaseId.toString(16) },
      });
    });

    it("leader ends with 3 when nobody leads", async () => {
      const name = h.name();
      const { code, stdout } = await tenure(h, "leader", name, "-o", "json");
      expect(code).toBe(3);
      expect(JSON.parse(stdout)).toMatchObject({ election: name, leader: null });
    });

    it("status prints the candidates in order of succession with the TTLs of their leases", async () => {
      const name = h.name();
      const first = await h.client().election(name, { ttlMs: 20_000 }).campaign("a");
      const waiting = h.client().election(name, { ttlMs: 60_000 }).campaign("b");
      waiting.catch(() => undefined);
      await h.candidates(name, 2);
      const { code, stdout } = await tenure(h, "status", name, "-o", "json");
      expect(code).toBe(0);
      const status = JSON.parse(stdout) as { leader: unknown; candidates: { ttlSeconds: number }[] };
      expect(status).toMatchObject({
        leader: { key: first.key },
        candidates: [
          { position: 0, value: "a" },
          { position: 1, value: "b" },
        ],
      });
      const [a = 0, b = 0] = status.candidates.map(({ ttlSeconds }) => ttlSeconds);
      expect(a > 0 && a <= 20 && b > 20 && b <= 60).toBe(true);
    });

    it("observe prints the current state, then every change", async () => {
      const name = h.name();
      await using observer = started(h, "observe", name, "-o", "jsonl");
      await observer.line(/"leader":null/);
      const term = await h.client().election(name).campaign("a");
      expect(await observer.line(/./)).toContain(term.key);
      await term.proclaim("b");
      expect(await observer.line(/./)).toContain('"value":"b"');
      await term.resign();
      expect(await observer.line(/./)).toContain('"leader":null');
      observer.signal("SIGINT");
      expect(await observer.exit()).toMatchObject({ code: 0 });
    });

    it("resign deletes the leader's key, which the leader hears of, and prints it", async () => {
      const name = h.name();
      const term = await h.client().election(name).campaign("a");
      const { code, stdout } = await tenure(h, "resign", name);
      expect(code).toBe(0);
      expect(stdout).toBe(`${term.key}\na\n`);
      await until(() => term.signal.aborted, { what: "the end of the term" });
      expect(term.held).toBe(false);
    });

    it("resign ends with 3 when nobody leads", async () => {
      expect(await tenure(h, "resign", h.name())).toMatchObject({ code: 3 });
    });

    it("--namespace goes before the name, whose leading slashes are dropped", async () => {
      const name = h.name();
      await using node = started(h, "--namespace", `/${name}/`, "elect", "//inner", "a");
      expect(await node.line(/./)).toMatch(new RegExp(`^/${name}/inner/[0-9a-f]+$`));
      node.signal("SIGINT");
      expect(await node.exit()).toMatchObject({ code: 0 });
    });
  });
}
