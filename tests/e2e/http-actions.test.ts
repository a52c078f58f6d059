import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseMetrics } from "../../packages/cli/src/http/testing/parse-metrics.ts";
import type { NodeProcess } from "../support/process.ts";
import { type RealEtcd, startEtcd } from "../support/real-etcd.ts";
import { until } from "../support/until.ts";
import { act, answers, ask, type Asking, get, type Got, portOf } from "./http-client.ts";
import { childrenOf, commandOf, started, supervise } from "./supervised.ts";
import { keys, linesOf, startTenure, tenure } from "./tenure.ts";

/** A machine that is busy with other tests may take so long to start a node. */
const START_MS = 25_000;
const TOKEN = "c4nary-of-the-actions";
const folder = mkdtempSync(join(tmpdir(), "tenure-actions-"));
afterAll(() => rmSync(folder, { recursive: true }));

function tokenFile(name: string, token = TOKEN, mode = 0o600): string {
  const file = join(folder, name);
  writeFileSync(file, `${token}\n`);
  chmodSync(file, mode);
  return file;
}
const http = ["--http", "0", "--http-token-file", tokenFile("token")];
const body = (got: Got): unknown => JSON.parse(got.body);

describe("actions over HTTP", { timeout: 90_000 }, () => {
  let store: RealEtcd;
  beforeAll(async () => void (store = await startEtcd()));
  afterAll(() => store.stop());

  const queued = (name: string, count: number): Promise<true> =>
    until(async () => (await keys(store, `${name}/`)).length === count, { what: `${count} candidates` });
  const metric = async (port: number, name: string, labels: Readonly<Record<string, string>> = {}) =>
    parseMetrics((await get(port, "/metrics")).body).find(
      (each) => each.name === name && Object.entries(labels).every(([key, value]) => each.labels[key] === value),
    )?.value;

  /** Two nodes of an election, the first of which leads. */
  async function pair(name: string, flags: readonly string[] = ["--on-exit", "resign"]) {
    const node = (value: string) => supervise(store, name, { flags: [...http, ...flags, "--value", value] });
    const first = node("one");
    await started(first, START_MS);
    const second = node("two");
    const ports = [await portOf(first), await portOf(second)] as const;
    await answers(ports[1], "/standby", 200);
    const stop = async (): Promise<void> => {
      for (const each of [first, second]) await each[Symbol.asyncDispose]();
    };
    return { first, second, ports, [Symbol.asyncDispose]: stop };
  }

  it("are refused with the right code to who may not, and change nothing", async () => {
    await using supervisor = supervise(store, "refused", { flags: http });
    const { pid, token } = await started(supervisor, START_MS);
    const port = await portOf(supervisor);
    await answers(port, "/leader", 200);
    const bearer = { authorization: `Bearer ${TOKEN}` };
    const post = (headers: Record<string, string>, sent?: string): Asking => ({
      method: "POST",
      headers,
      ...(sent !== undefined && { body: sent }),
    });
    const requests: readonly (readonly [string, number, Asking])[] = [
      ["a forged Host", 403, post({ ...bearer, host: "evil.example" })],
      ["a foreign Origin", 403, post({ ...bearer, origin: "http://evil.example" })],
      [
        "a page of another site",
        403,
        post({ ...bearer, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" }),
      ],
      ["GET", 405, { headers: bearer }],
      ["HEAD", 405, { method: "HEAD", headers: bearer }],
      ["DELETE", 405, { method: "DELETE", headers: bearer }],
      ["no token", 401, post({})],
      ["a wrong token", 401, post({ authorization: `Bearer ${TOKEN}x` })],
      ["10 MB", 413, post(bearer, "x".repeat(10_000_000))],
      ["a body", 415, post({ ...bearer, "content-type": "application/x-www-form-urlencoded" }, "to=x")],
    ];
    const actions = ["resign", "transfer", "pause", "resume"];
    const wrong: unknown[] = [];
    for (const [what, status, asking] of requests) {
      for (const action of actions) {
        const got = await ask(port, `/${action}?to=x`, asking);
        if (got.status !== status) wrong.push([what, action, got.status]);
      }
    }
    expect(wrong).toEqual([]);
    const unknown = await ask(port, "/frobnicate", post(bearer));
    expect([unknown.status, unknown.body]).toEqual([404, expect.stringContaining("by POST /resign")]);
    // Whoever guesses has to wait.
    const guess = post({ authorization: "Bearer wrong-wrong-wrong" });
    await until(async () => (await ask(port, "/resign", guess)).status === 429, { what: "end of patience" });
    await supervisor.errorLine(/too many wrong tokens from 127\.0\.0\.1/);
    const { headers } = await answers(port, "/leader", 200);
    expect(headers["x-tenure-token"]).toBe(String(token));
    expect(await metric(port, "tenure_paused")).toBe(0);
    expect(supervisor.stderr).not.toMatch(/asks for/);
    // The secret is nowhere but in its file.
    const seen = [pid, supervisor.pid, ...childrenOf(supervisor.pid)].flatMap((each) => [
      ...commandOf(each),
      readFileSync(`/proc/${each}/environ`, "utf8"),
    ]);
    expect(seen.join("\n") + supervisor.stdout + supervisor.stderr).not.toContain(TOKEN);
  });

  it("are off without a file of the token, and say what allows them", async () => {
    await using supervisor = supervise(store, "off", { flags: ["--http", "0"] });
    await started(supervisor, START_MS);
    const got = await act(await portOf(supervisor), "/resign", TOKEN);
    expect([got.status, body(got)]).toEqual([403, { error: expect.stringContaining("--http-token-file") }]);
  });

  it("resign: the next one leads, the old one stands again behind it; not where nobody else stands", async () => {
    // The default is to end with the program: not for this.
    await using site = await pair("resign", []);
    const { first, second, ports } = site;
    const got = await act(ports[0], "/resign", TOKEN);
    expect([got.status, body(got)]).toMatchObject([
      200,
      { action: "resign", election: "resign", result: "done", before: { value: "one" }, leader: { value: "two" } },
    ]);
    await started(second, START_MS);
    await answers(ports[0], "/standby", 200);
    expect(await metric(ports[0], "tenure_transitions_total", { reason: "resigned" })).toBe(1);
    const planned = { kind: "planned", phase: "release" };
    expect(await metric(ports[0], "tenure_failover_duration_seconds_count", planned)).toBe(1);
    expect(await act(ports[0], "/resign", TOKEN)).toMatchObject({ status: 409 });
    expect(first.stderr).toMatch(
      /HTTP: 127\.0\.0\.1 asks for resign of resign\n(.*\n)*.*HTTP: resign of resign: done; two/,
    );
    first.signal("SIGTERM");
    await queued("resign", 1);
    const alone = await act(ports[1], "/resign", TOKEN);
    expect([alone.status, body(alone)]).toEqual([409, { error: expect.stringContaining("nobody else stands") }]);
    expect((await get(ports[1], "/leader")).status).toBe(200);
  });

  it.each(["the leader", "the standby"])(
    "transfer, asked of %s: the chosen one leads when it answers",
    async (whom) => {
      const name = `transfer-${whom === "the leader" ? "leader" : "standby"}`;
      // With the default, the old leader's node ends: it answers before.
      await using site = await pair(name, []);
      const { first, second, ports } = site;
      const port = whom === "the leader" ? ports[0] : ports[1];
      for (const query of ["", "?to=", "?to=two&to=one"]) {
        expect((await act(port, `/transfer${query}`, TOKEN)).status).toBe(400);
      }
      expect((await act(port, "/transfer?to=nobody", TOKEN)).status).toBe(409);
      expect(body(await act(port, "/transfer?to=one", TOKEN))).toMatchObject({ result: "unchanged" });
      const got = await act(port, "/transfer?to=two", TOKEN);
      expect([got.status, body(got)]).toMatchObject([
        200,
        { action: "transfer", result: "done", before: { value: "one" }, leader: { value: "two" }, skipped: [] },
      ]);
      const { token } = await started(second, START_MS);
      expect(body(got)).toMatchObject({ leader: { revision: String(token) } });
      await first.exit();
    },
  );

  it("pause: out of the queue until resume, and a leader leads on until it makes way", async () => {
    await using site = await pair("pause");
    const { second, ports } = site;
    const paused = await act(ports[1], "/pause", TOKEN);
    expect([paused.status, body(paused)]).toMatchObject([200, { result: "done", paused: true, phase: "paused" }]);
    await queued("pause", 1);
    const states = ["/standby", "/readyz", "/leader"].map(async (path) => (await get(ports[1], path)).status);
    expect(await Promise.all(states)).toEqual([503, 503, 503]);
    expect([await metric(ports[1], "tenure_paused"), await metric(ports[1], "tenure_eligible")]).toEqual([1, 0]);
    expect(body(await act(ports[1], "/resume", TOKEN))).toMatchObject({ result: "done", role: "standby" });
    await queued("pause", 2);
    expect([await metric(ports[1], "tenure_paused"), await metric(ports[1], "tenure_eligible")]).toEqual([0, 1]);

    const leads = await act(ports[0], "/pause", TOKEN);
    expect([leads.status, body(leads)]).toMatchObject([200, { role: "leader", message: expect.any(String) }]);
    expect((await get(ports[0], "/leader")).status).toBe(200);
    expect((await act(ports[0], "/resign", TOKEN)).status).toBe(200);
    await started(second, START_MS);
    await answers(ports[0], "/standby", 503);
    expect(JSON.parse((await get(ports[0], "/status")).body)).toMatchObject({
      services: [{ phase: "paused", paused: true, eligible: false, health: "unchecked" }],
    });
    await queued("pause", 1);
    expect(body(await act(ports[0], "/resume", TOKEN))).toMatchObject({ role: "standby" });
  });

  it("need the token that the file holds at that moment", async () => {
    const file = tokenFile("rotated");
    await using supervisor = supervise(store, "rotate", { flags: ["--http", "0", "--http-token-file", file] });
    await started(supervisor, START_MS);
    const port = await portOf(supervisor);
    const status = async (token: string): Promise<number> => (await act(port, "/resume", token)).status;
    expect([await status(TOKEN), await status(`new-${TOKEN}`)]).toEqual([200, 401]);
    tokenFile("rotated", `new-${TOKEN}`);
    expect([await status(TOKEN), await status(`new-${TOKEN}`)]).toEqual([401, 200]);
    chmodSync(file, 0o644);
    expect(await status(`new-${TOKEN}`)).toBe(503);
    await supervisor.errorLine(/actions are off: --http-token-file: .* is open to others, with mode 0644: chmod 600/);
    chmodSync(file, 0o600);
    expect(await status(`new-${TOKEN}`)).toBe(200);
  });

  it("are those of one service in an agent", async () => {
    const file = join(folder, "tenure.yaml");
    const service = (name: string): string => `  ${name}:\n    command: [sh, -c, "echo ${name} up; exec sleep 1000"]\n`;
    writeFileSync(
      file,
      `endpoints: ${store.endpoint}\nhttp: "0"\nhttp-token-file: token\nservices:\n${service("a")}${service("b")}`,
    );
    const agent = (): NodeProcess => startTenure(["agent", "--config", file]);
    await using first = agent();
    await until(() => first.lines.length === 2, { what: "both programs", timeoutMs: START_MS });
    await using second = agent();
    const [one, two] = [await portOf(first), await portOf(second)];
    for (const name of ["a", "b"]) await answers(two, `/services/${name}/standby`, 200);
    expect((await act(one, "/resign", TOKEN)).status).toBe(404);
    expect(body(await act(one, "/services/a/resign", TOKEN))).toMatchObject({ election: "a", result: "done" });
    await answers(two, "/services/a/leader", 200);
    expect((await get(one, "/services/b/leader")).status).toBe(200);
    expect((await act(two, "/services/b/pause", TOKEN)).status).toBe(200);
    await queued("b", 1);
    expect((await get(two, "/services/a/leader")).status).toBe(200);
  });
});

describe("a file of the token", () => {
  const refused = (...args: string[]) =>
    tenure(["run", "job", "--endpoints", "http://127.0.0.1:1", ...args, "--", "true"]);

  it.each([
    ["that others can read", () => tokenFile("open", TOKEN, 0o644), /is open to others, with mode 0644: chmod 600$/],
    ["that is missing", () => join(folder, "none"), /cannot be read: there is no such file$/],
    ["with a short token", () => tokenFile("short", "c4nary"), /fewer than 16 characters; make one with: openssl/],
  ])("%s ends the command with 78 and one line", async (_, file, message) => {
    const { code, stdout, stderr } = await refused("--http", "0", "--http-token-file", file());
    expect([code, stdout, linesOf(stderr)]).toEqual([78, "", [expect.stringMatching(message)]]);
    expect(stderr).not.toContain("c4nary");
  });

  it("needs --http: 64", async () => {
    const { code, stderr } = await refused("--http-token-file", tokenFile("token"));
    expect([code, linesOf(stderr)]).toEqual([64, [expect.stringContaining("--http-token-file needs --http")]]);
  });
});
