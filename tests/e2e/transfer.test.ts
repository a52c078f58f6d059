import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connect, type Election, type Term } from "tenure";
import { type NodeProcess, root, spawnNode } from "../support/process.ts";
import { type RealEtcd, startEtcd } from "../support/real-etcd.ts";
import { settled, until } from "../support/until.ts";
import { elected, type Env, keys, linesOf, startTenure, type Store, stores, tenure } from "./tenure.ts";

/** What the command prints with -o json. */
interface Printed {
  readonly election: string;
  readonly leader: Candidate | null;
  readonly revision: string;
  readonly from: Candidate | null;
  readonly skipped: readonly string[];
}

interface Candidate {
  readonly key: string;
  readonly value: string;
  readonly revision: string;
  readonly lease: string;
}

const revision = (): unknown => expect.stringMatching(/^\d+$/);
const candidate = (key: string, value: string): unknown => ({
  key,
  value,
  revision: revision(),
  lease: key.slice(key.lastIndexOf("/") + 1),
});

/** Starts `tenure elect` for each value, and waits until each has its place in the queue. */
async function standing(store: Store, name: string, ...values: string[]): Promise<Standing> {
  const env = { TENURE_ENDPOINTS: store.endpoint };
  const nodes: NodeProcess[] = [];
  const queue: string[] = [];
  for (const value of values) {
    nodes.push(startTenure(["elect", name, value, "--ttl", "60"], env));
    const all = await until(
      async () => {
        const now = await keys(store, `${name}/`);
        return now.length === nodes.length && now;
      },
      { what: `candidate ${value}` },
    );
    queue.push(...all.filter((key) => !queue.includes(key)));
  }
  return {
    nodes,
    queue,
    [Symbol.asyncDispose]: async () => void (await Promise.all(nodes.map((node) => node[Symbol.asyncDispose]()))),
  };
}

interface Standing extends AsyncDisposable {
  readonly nodes: readonly NodeProcess[];
  /** Their keys. */
  readonly queue: readonly string[];
}

describe.each(stores)("tenure transfer on $name", ({ start }) => {
  let store: Store;
  let env: Env;
  beforeAll(async () => {
    store = await start();
    env = { TENURE_ENDPOINTS: store.endpoint };
  });
  afterAll(() => store[Symbol.asyncDispose]());

  it("makes the next in line lead, without a vacancy; the former leader says so and ends with 0", async () => {
    await using observer = startTenure(["observe", "next", "-o", "jsonl"], env);
    await observer.line(/"leader":null/);
    await using all = await standing(store, "next", "a", "b");
    const [a, b] = all.nodes;
    const [keyA = "", keyB = ""] = all.queue;
    const { code, stdout, stderr } = await tenure(["transfer", "next", "--to", "b"], env);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const rows = linesOf(stdout).map((line) => line.split(/ {2,}/));
    expect(rows.map(([role, value, , key]) => [role, value, key])).toEqual([
      ["ROLE", "VALUE", "KEY"],
      ["leader", "b", keyB],
      ["before", "a", keyA],
    ]);
    expect(await b?.line(/^b$/)).toBe("b");
    expect(await a?.exit()).toMatchObject({
      code: 0,
      stdout: `${keyA}\na\n`,
      stderr: `tenure: stepped down: the term is transferred to ${keyB}\n`,
    });
    await observer.line(/"value":"b"/);
    const seen = observer.lines.map((line) => (JSON.parse(line) as Printed).leader?.value ?? null);
    expect(seen).toEqual([null, "a", "b"]);
    expect(await keys(store, "next/")).toEqual([keyB]);
  });

  it("takes a key, prints an object with -o json, and the skipped stand again behind", async () => {
    await using all = await standing(store, "skip", "a", "b", "c", "d");
    const [keyA = "", keyB = "", keyC = "", keyD = ""] = all.queue;
    const { code, stdout, stderr } = await tenure(["transfer", "skip", "--to", keyD, "-o", "json"], env);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(JSON.parse(stdout)).toEqual({
      election: "skip",
      leader: candidate(keyD, "d"),
      revision: revision(),
      from: candidate(keyA, "a"),
      skipped: [keyB, keyC],
    });
    await elected(all.nodes[3] as NodeProcess);
    await until(async () => (await keys(store, "skip/")).length === 3, { what: "queue of three" });
    const status = JSON.parse((await tenure(["status", "skip", "-o", "json"], env)).stdout) as {
      candidates: Candidate[];
    };
    expect(status.candidates[0]).toMatchObject({ key: keyD });
    expect(status.candidates.map(({ value }) => value).toSorted()).toEqual(["b", "c", "d"]);
    expect(all.nodes.slice(1, 3).map(({ stdout: printed }) => printed)).toEqual(["", ""]);
  });

  it("refuses in one line, with 64 and the election untouched, what is wrong in the request", async () => {
    await using all = await standing(store, "wrong", "a", "same", "same");
    const [keyA = "", ...same] = all.queue;
    const elsewhere = await standing(store, "elsewhere", "x");
    const refusals: readonly [string[], RegExp][] = [
      [["--to", "same"], new RegExp(`several candidates .* give a key: ${same.join(", ")}$`)],
      [["--to", "nobody"], /^tenure: no candidate of wrong has "nobody" as its key or value$/],
      [["--to", elsewhere.queue[0] ?? ""], /^tenure: no candidate of wrong has /],
      [["--to", ""], /^tenure: no candidate of wrong has /],
      [[], /--to <KEY\|VALUE>/],
    ];
    for (const [args, line] of refusals) {
      const { code, stdout, stderr } = await tenure(["transfer", "wrong", ...args], env);
      expect({ code, stdout, lines: linesOf(stderr) }).toEqual({
        code: 64,
        stdout: "",
        lines: [expect.stringMatching(line)],
      });
    }
    expect((await keys(store, "wrong/")).toSorted()).toEqual([keyA, ...same].toSorted());
    await elsewhere[Symbol.asyncDispose]();
  });

  it("changes nothing when the candidate leads already", async () => {
    await using all = await standing(store, "already", "a");
    const [key = ""] = all.queue;
    const note = "tenure: a leads already; nothing was changed\n";
    const told = await tenure(["transfer", "already", "--to", "a"], env);
    expect(told).toMatchObject({ code: 0, stderr: note });
    expect(told.stdout).toContain(key);
    const { code, stdout, stderr } = await tenure(["transfer", "already", "--to", key, "-o", "json"], env);
    expect({ code, stderr }).toEqual({ code: 0, stderr: note });
    expect(JSON.parse(stdout)).toEqual({
      election: "already",
      leader: candidate(key, "a"),
      revision: revision(),
      from: null,
      skipped: [],
    });
  });

  it("has nothing to transfer when nobody leads: 3", async () => {
    expect(await tenure(["transfer", "none", "--to", "a"], env)).toMatchObject({
      code: 3,
      stdout: "",
      stderr: "tenure: nobody leads none\n",
    });
    const { code, stdout, stderr } = await tenure(["transfer", "none", "--to", "a", "-o", "json"], env);
    expect({ code, stderr }).toEqual({ code: 3, stderr: "" });
    expect(JSON.parse(stdout)).toMatchObject({ election: "none", leader: null, from: null, skipped: [] });
  });

  it("gives up on a leader that does not answer: 75; a request that was taken back is not served later", async () => {
    await using all = await standing(store, "frozen", "a", "b");
    const [a] = all.nodes;
    const [keyA] = all.queue;
    await a?.line(/^a$/);
    a?.signal("SIGSTOP");
    const { code, stdout, stderr } = await tenure(["transfer", "frozen", "--to", "b", "--timeout", "1"], env);
    expect({ code, stdout }).toEqual({ code: 75, stdout: "" });
    expect(linesOf(stderr)).toEqual([expect.stringMatching(/has not handed over within 1000 ms; .*; a leads now$/)]);
    expect(await keys(store, "frozen/transfer")).toEqual([]);
    a?.signal("SIGCONT");
    // It has heard of everything that came before what it answers now.
    const after = await tenure(["transfer", "frozen", "--to", "b", "-o", "json"], env);
    expect(after).toMatchObject({ code: 0, stderr: "" });
    expect((JSON.parse(after.stdout) as Printed).from).toMatchObject({ key: keyA });
    expect((await a?.exit())?.code).toBe(0);
  });

  it("takes the request back at Ctrl-C, with 130, and the leader leads on", async () => {
    await using all = await standing(store, "interrupted", "a", "b");
    const [a] = all.nodes;
    await a?.line(/^a$/);
    a?.signal("SIGSTOP");
    await using operator = startTenure(["transfer", "interrupted", "--to", "b"], env);
    await until(async () => (await keys(store, "interrupted/transfer")).length === 1, { what: "request" });
    operator.signal("SIGINT");
    expect(await operator.exit()).toMatchObject({ code: 130, stdout: "", stderr: "" });
    expect(await keys(store, "interrupted/transfer")).toEqual([]);
    a?.signal("SIGCONT");
    a?.signal("SIGINT");
    expect(await a?.exit()).toMatchObject({ code: 0, stderr: "" });
  });

  it("fails with 69 when the store is unreachable", async () => {
    const args = ["transfer", "next", "--to", "b", "--endpoints", "http://127.0.0.1:1", "--timeout", "1"];
    expect(await tenure(args)).toMatchObject({ code: 69, stdout: "" });
  });

  it("is shown within 100 ms by an observer, two standbys skipped", async () => {
    await using observer = startTenure(["observe", "fast", "-o", "jsonl"], env);
    await observer.line(/"leader":null/);
    const clients = ["a", "b", "c", "d", "operator"].map(() => connect({ endpoints: [store.endpoint] }));
    const elections = clients.map((client) => client.election("fast"));
    const operator = elections.pop() as Election;
    const nodes = elections.map((election, index) => election.run({ value: `node-${index}`, lead: untilItEnds }));
    const medians: number[] = [];
    // Another program on this machine may take the processor for a while: what is measured again is the time only.
    while (medians.length < 3 && !medians.some((medianMs) => medianMs < 100)) medians.push(await median());
    expect(Math.min(...medians)).toBeLessThan(100);
    await Promise.all(nodes.map((node) => node.stop()));
    await Promise.all(clients.map((client) => client.close()));

    async function median(): Promise<number> {
      const tookMs: number[] = [];
      while (tookMs.length < 5) {
        const [leader, ...standbys] = await until(
          async () => {
            const now = await operator.candidates();
            return now.length === nodes.length && now;
          },
          { what: "queue of four" },
        );
        const target = standbys.at(-1)?.key ?? "";
        expect(target).not.toBe(leader?.key);
        const sentAt = performance.now();
        const shown = observer.line(new RegExp(`"key":"${target}"`)).then(() => performance.now());
        await settled(operator.requestTransfer(target), { what: "transfer" });
        tookMs.push((await shown) - sentAt);
      }
      return tookMs.toSorted((x, y) => x - y)[2] ?? Infinity;
    }
  });
});

describe("the worker example", () => {
  it("hands over in the middle of its work when it is asked to, and ends as ever", async () => {
    await using etcd = await startEtcd();
    const env = { TENURE_ENDPOINTS: etcd.endpoint, TENURE_NAMESPACE: "/examples/" };
    await using worker = spawnNode([`${root}examples/dist/worker.js`, etcd.endpoint]);
    const [first] = await worker.line(/unit 1 of 5$/);
    const second = first === "A" ? "B" : "A";
    const queue = await until(
      async () => {
        const { stdout } = await tenure(["status", "worker", "-o", "json"], env);
        const { candidates } = JSON.parse(stdout) as { candidates: Candidate[] };
        return candidates.length === 2 && candidates;
      },
      { what: "both workers" },
    );
    const moved = await tenure(["transfer", "worker", "--to", queue[1]?.key ?? ""], env);
    expect(moved).toMatchObject({ code: 0, stderr: "" });
    const { code, stdout, stderr } = await worker.exit(20_000);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const lines = linesOf(stdout);
    expect(lines).toContain(`${first}: resigned`);
    expect(lines).not.toContain(`${first}: unit 5 of 5`);
    expect(lines.slice(-2)).toEqual([`${second}: unit 5 of 5`, `${second}: resigned`]);
  });
});

describe("permissions", () => {
  let guarded: RealEtcd;
  let dir: string;
  beforeAll(async () => {
    guarded = await startEtcd();
    dir = await mkdtemp(join(tmpdir(), "tenure-transfer-"));
    await writeFile(join(dir, "password"), "secret");
    for (const command of [
      "user add root:r00t",
      "user grant-role root root",
      "user add writer:secret",
      "user add reader:secret",
      "role add writers",
      "role add readers",
      "role grant-permission writers readwrite allowed/x/ --prefix",
      "role grant-permission readers read allowed/x/ --prefix",
      "user grant-role writer writers",
      "user grant-role reader readers",
      "auth enable",
    ]) {
      const { code, stderr } = await guarded.etcdctl(...command.split(" "));
      if (code !== 0) throw new Error(`etcdctl ${command}: ${stderr}`);
    }
  });
  afterAll(async () => {
    await guarded.stop();
    await rm(dir, { recursive: true });
  });

  it("whoever may write the election's keys may ask, others may not: 77", async () => {
    const as = (user: string): string[] => ["--user", user, "--password-file", join(dir, "password")];
    const env = { TENURE_ENDPOINTS: guarded.endpoint };
    await using a = startTenure(["elect", "allowed/x", "a", ...as("writer")], env);
    await elected(a);
    await using b = startTenure(["elect", "allowed/x", "b", ...as("writer")], env);
    const status = ["status", "allowed/x", "-o", "json", ...as("reader")];
    await until(async () => (await tenure(status, env)).stdout.includes('"value":"b"'), { what: "standby" });

    const refused = await tenure(["transfer", "allowed/x", "--to", "b", ...as("reader")], env);
    expect({ code: refused.code, stdout: refused.stdout }).toEqual({ code: 77, stdout: "" });
    expect(linesOf(refused.stderr)).toEqual([
      expect.stringMatching(/user "reader" has no permission .* "allowed\/x\/"/),
    ]);
    expect(await tenure(["transfer", "allowed/x", "--to", "b", ...as("writer")], env)).toMatchObject({
      code: 0,
      stderr: "",
    });
    await elected(b);
    expect((await a.exit()).code).toBe(0);
  });
});

function untilItEnds({ signal }: Term): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
