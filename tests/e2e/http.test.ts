import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseMetrics, type Sample } from "../../packages/cli/src/http/testing/parse-metrics.ts";
import { reservePorts } from "../support/ports.ts";
import { startProxy } from "../support/proxy.ts";
import { type RealEtcd, startEtcd } from "../support/real-etcd.ts";
import { until } from "../support/until.ts";
import { answers, get, portOf, told } from "./http-client.ts";
import { lives, started, supervise } from "./supervised.ts";
import { keys, linesOf, tenure } from "./tenure.ts";

const TTL_SECONDS = 4;
/** A machine that is busy with other tests may take so long to start a node. */
const START_MS = 25_000;
const folder = mkdtempSync(join(tmpdir(), "tenure-http-"));
afterAll(() => rmSync(folder, { recursive: true }));

const http = ["--http", "0"];
const short = [...http, "--ttl", String(TTL_SECONDS)];

describe("tenure run --http", { timeout: 90_000 }, () => {
  let store: RealEtcd;
  beforeAll(async () => void (store = await startEtcd()));
  afterAll(() => store.stop());

  const queued = (name: string, count: number): Promise<true> =>
    until(async () => (await keys(store, `${name}/`)).length === count, { what: `${count} candidates` });
  const scrape = async (port: number): Promise<Sample[]> => parseMetrics((await get(port, "/metrics")).body);
  const valueOf = (samples: readonly Sample[], name: string, labels: Readonly<Record<string, string>> = {}) =>
    samples.find((each) => each.name === name && Object.entries(labels).every(([key, v]) => each.labels[key] === v))
      ?.value;

  it("says who leads on every node, and hands over: never two at once, the old one to its very end", async () => {
    const slow = "echo started $$ $TENURE_TOKEN; trap 'sleep 0.7; exit 0' TERM; while :; do sleep 0.05; done";
    await using first = supervise(store, "roles", { flags: [...http, "--value", "a b"], program: ["sh", "-c", slow] });
    const one = await started(first, START_MS);
    const a = await portOf(first);
    await using second = supervise(store, "roles", { flags: http });
    const b = await portOf(second);
    await answers(b, "/standby", 200);
    expect((await get(a, "/leader")).status).toBe(200);
    expect(await get(b, "/primary")).toMatchObject({
      status: 503,
      headers: {
        "x-tenure-election": "roles",
        "x-tenure-role": "standby",
        "x-tenure-leader-value": "a%20b",
        "x-tenure-token": String(one.token),
      },
    });
    expect((await get(a, "/replica")).status).toBe(503);
    expect(valueOf(await scrape(a), "tenure_is_leader")).toBe(1);
    expect(valueOf(await scrape(b), "tenure_is_leader")).toBe(0);

    const both: unknown[] = [];
    let over = false;
    const watching = (async () => {
      while (!over) {
        // The one that ends is asked first: what it says may only turn to no.
        const states = [await get(a, "/leader").catch(() => undefined), await get(b, "/leader")];
        if (states.every((got) => got?.status === 200)) both.push(states);
      }
    })();
    first.signal("SIGTERM");
    // The program takes its time; meanwhile there is an answer, and it is no.
    const stopping = await answers(a, "/leader", 503, 500);
    expect(JSON.parse(stopping.body)).toMatchObject({ role: "none", phase: "stopping", term: { held: true } });
    expect((await get(a, "/readyz")).status).toBe(503);
    const now = await answers(b, "/leader", 200);
    over = true;
    await watching;
    expect(both).toEqual([]);
    const two = await started(second, START_MS);
    expect(now.headers["x-tenure-token"]).toBe(String(two.token));
    await first.exit();
    await expect(get(a, "/leader")).rejects.toThrow(/ECONN/);
    const takeover = { election: "roles", kind: "takeover", phase: "total" };
    expect(valueOf(await scrape(b), "tenure_failover_duration_seconds_count", takeover)).toBe(1);
  });

  it("leads for others only from the program's start on, and not while it is restarted", async () => {
    const gate = join(folder, "gate");
    const flags = [...http, "--pre-promote", `while [ ! -e ${gate} ]; do sleep 0.05; done`];
    await using supervisor = supervise(store, "gate", { flags: [...flags, "--on-exit", "restart"] });
    const port = await portOf(supervisor);
    const phase = async (): Promise<unknown> =>
      (JSON.parse((await get(port, "/leader")).body) as { phase: string }).phase;
    await until(async () => (await phase()) === "promoting", { what: "promotion" });
    const statuses = async (): Promise<number[]> =>
      Promise.all(
        ["/leader", "/standby", "/readyz", "/health", "/livez"].map(async (path) => (await get(port, path)).status),
      );
    expect(await statuses()).toEqual([503, 503, 200, 503, 200]);
    writeFileSync(gate, "");
    const { pid } = await started(supervisor, START_MS);
    expect(await statuses()).toEqual([200, 503, 200, 200, 200]);
    process.kill(pid, "SIGKILL");
    await until(async () => (await phase()) === "restarting", { what: "restart", intervalMs: 2 });
    await started(supervisor, START_MS);
    await answers(port, "/leader", 200);
    const samples = await scrape(port);
    expect(valueOf(samples, "tenure_child_restarts_total")).toBe(1);
    expect(valueOf(samples, "tenure_terms_total")).toBe(1);
  });

  it("does not stand by while it is unfit, and out of the queue for that", async () => {
    const fit = join(folder, "fit");
    writeFileSync(fit, "");
    await using leader = supervise(store, "fitness");
    await started(leader, START_MS);
    const flags = [...http, "--health-cmd", `test -e ${fit}`, "--health-interval", "0.1", "--health-fall", "1"];
    await using supervisor = supervise(store, "fitness", { flags });
    const port = await portOf(supervisor);
    await answers(port, "/standby", 200);
    rmSync(fit);
    await answers(port, "/standby", 503);
    await queued("fitness", 1);
    expect((await get(port, "/readyz")).status).toBe(503);
    writeFileSync(fit, "");
    await answers(port, "/standby", 200);
    await queued("fitness", 2);
  });

  it("does not lead any more when the link to etcd is cut, before its key is gone", async () => {
    await using proxy = await startProxy(store.endpoint);
    await using supervisor = supervise(proxy, "cut", { flags: [...http, "--ttl", "8", "--on-exit", "resign"] });
    const port = await portOf(supervisor);
    await answers(port, "/leader", 200);
    proxy.blackhole();
    const got = await answers(port, "/leader", 503);
    expect(await keys(store, "cut/")).toHaveLength(1);
    expect(got.headers["x-tenure-role"]).toBe("none");
    // As early as the program is told to stop, which is before the lease can no longer be proven.
    const { phase, term } = JSON.parse(got.body) as { phase: string; term: { provenForSeconds: number } };
    expect(phase).toBe("stopping");
    expect(term.provenForSeconds).toBeGreaterThan(0);
    await queued("cut", 0);
    expect((await get(port, "/readyz")).status).toBe(503);
    const ends = { election: "cut", reason: "late" };
    await until(async () => valueOf(await scrape(port), "tenure_transitions_total", ends), { what: "counted end" });
    proxy.heal();
    await answers(port, "/leader", 200, 20_000);
    expect(valueOf(await scrape(port), "tenure_terms_total")).toBe(2);
  });

  it.each(["blocked", "frozen"])(
    "that was %s past its deadline says no first of all, its program alive",
    async (how) => {
      const file = join(folder, "block");
      const blocking = new URL("blocking.js", import.meta.url).href;
      const env = { NODE_OPTIONS: `--import ${blocking}`, BLOCK_FILE: file, BLOCK_MS: String(2 * TTL_SECONDS * 1000) };
      await using supervisor = supervise(store, how, { flags: [...short, "--no-guard", "--on-exit", "resign"], env });
      const { pid } = await started(supervisor, START_MS);
      const port = await portOf(supervisor);
      expect((await get(port, "/leader")).status).toBe(200);
      if (how === "frozen") supervisor.signal("SIGSTOP");
      else {
        writeFileSync(file, "");
        await until(() => !existsSync(file), { what: "start of the block" });
      }
      const waiting = get(port, "/leader");
      const metrics = get(port, "/metrics");
      await queued(how, 0);
      expect(lives(pid)).toBe(true);
      if (how === "frozen") supervisor.signal("SIGCONT");
      expect((await waiting).status).toBe(503);
      expect(valueOf(parseMetrics((await metrics).body), "tenure_is_leader")).toBe(0);
      supervisor.signal("SIGTERM");
      await supervisor.exit();
    },
  );

  it("streams what happens, and what was missed to who comes back", async () => {
    await using first = supervise(store, "events", { flags: http });
    await started(first, START_MS);
    await using second = supervise(store, "events", { flags: http });
    const port = await portOf(second);
    await answers(port, "/standby", 200);
    const listen = (lastEventId = "none"): { readonly socket: Socket; readonly text: () => string } => {
      let text = "";
      const socket = connect(port, "127.0.0.1");
      socket.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      socket.write(`GET /events HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: ${lastEventId}\r\n\r\n`);
      return { socket, text: () => text };
    };
    const stream = listen();
    await until(() => stream.text().includes('"role":"standby"'), { what: "state" });
    const [, before] = /id: (\S+)\nevent: state/.exec(stream.text()) ?? [];
    first.signal("SIGTERM");
    await until(() => stream.text().includes('"phase":"leading"'), { what: "event of leading" });
    stream.socket.destroy();
    const back = listen(before);
    await until(() => back.text().includes('"phase":"leading"'), { what: "missed events" });
    back.socket.destroy();
    const told = [...back.text().matchAll(/event: (\w+)\ndata: (.*)/g)].map(([, type, data = ""]) => ({
      type,
      ...(JSON.parse(data) as object),
    }));
    expect(told.filter(({ type }) => type === "role")).toMatchObject([
      { election: "events", role: "none", phase: "promoting" },
      { election: "events", role: "leader", phase: "leading" },
    ]);
    expect(told.filter(({ type }) => type === "leader").at(-1)).toMatchObject({ leader: { key: expect.any(String) } });
    expect(back.text()).not.toContain("event: state");
  });

  it("leads on, and answers, with a thousand idle listeners and more unfinished requests", async () => {
    await using supervisor = supervise(store, "crowd", { flags: http });
    const { token } = await started(supervisor, START_MS);
    const port = await portOf(supervisor);
    const sockets: Socket[] = [];
    /** Not all at once: what is tested is what they hold open, not a flood of connections. */
    const open = async (count: number, text: string): Promise<void> => {
      for (let left = count; left > 0; left -= 100) {
        const connected = Array.from({ length: Math.min(left, 100) }, async () => {
          const socket = connect(port, "127.0.0.1");
          sockets.push(socket.on("error", () => undefined));
          await new Promise<void>((resolve) => void socket.once("connect", resolve).once("close", () => resolve()));
          socket.resume().write(text);
        });
        await Promise.all(connected);
      }
    };
    await open(1000, "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await open(1200, "GET /leader HTTP/1.1\r\nHost: localhost\r\nX-Slow");
    const drip = setInterval(() => {
      for (const socket of sockets.slice(1000)) if (socket.writable) socket.write("l");
    }, 200);
    // Longer than the TTL: a node that was kept from its keep-alives would have lost its lease.
    const enough = performance.now() + 12_000;
    while (performance.now() < enough) {
      // A connection may be dropped in a crowd that comes all at once; the next one is answered.
      const { headers } = await answers(port, "/leader", 200);
      expect(headers["x-tenure-token"]).toBe(String(token));
    }
    clearInterval(drip);
    const samples = await scrape(port);
    expect(valueOf(samples, "tenure_event_listeners")).toBe(256);
    expect(valueOf(samples, "tenure_terms_total")).toBe(1);
    for (const socket of sockets) socket.destroy();
  });

  it("tells HAProxy's agent and whoever connects, too", async () => {
    const ports = await reservePorts(2);
    const [check = 0, leading = 0] = ports.map(({ port }) => port);
    await using other = supervise(store, "checks", {});
    await started(other, START_MS);
    await using supervisor = supervise(store, "checks", {
      flags: ["--agent-check", String(check), "--leader-port", `127.0.0.1:${leading}`],
    });
    await supervisor.errorLine(/is open while this node leads/);
    await queued("checks", 2);
    await until(async () => (await told(check)) === "down #standby\n", { what: "standby" });
    expect(await told(leading)).toBeUndefined();
    other.signal("SIGTERM");
    await started(supervisor, START_MS);
    await until(async () => (await told(check)) === "up\n", { what: "leader" });
    const held = until(() => told(leading).then((text) => (text === undefined ? undefined : "closed")), {
      what: "connection that ends with the term",
    });
    const socket = connect(leading, "127.0.0.1");
    await new Promise<void>((resolve) => void socket.once("connect", resolve));
    socket.destroy();
    supervisor.signal("SIGTERM");
    expect(await held).toBe("closed");
    await supervisor.exit();
    expect(await told(leading)).toBeUndefined();
    for (const each of ports) each.release();
  });

  it("says once when others can reach it, and serves them by address or a name it was given", async () => {
    const flags = ["--http", "0.0.0.0:0", "--http-host", "node-a.example"];
    await using supervisor = supervise(store, "open", { flags });
    const port = await portOf(supervisor);
    await started(supervisor, START_MS);
    expect(supervisor.stderr.match(/which is not loopback/g)).toHaveLength(1);
    const status = async (host: string): Promise<number> => (await get(port, "/leader", { host })).status;
    expect(await status("node-a.example:80")).toBe(200);
    expect(await status("evil.example")).toBe(403);
    const own = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
    const address = own.find(({ family, internal }) => family === "IPv4" && !internal)?.address;
    if (address === undefined) return;
    const { status: byAddress } = await fetch(`http://${address}:${port}/leader`);
    expect(byAddress).toBe(200);
  });
});

describe("tenure run, before it stands", () => {
  const refused = (...args: string[]) =>
    tenure(["run", "job", "--endpoints", "http://127.0.0.1:1", ...args, "--", "true"]);

  it.each(["--http", "--agent-check", "--leader-port"])("ends with 73 and one line when %s is in use", async (flag) => {
    const server = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const end = await refused(flag, String(port));
    server.close();
    expect(end).toMatchObject({ code: 73, stdout: "" });
    expect(linesOf(end.stderr)).toEqual([
      `tenure: cannot listen on 127.0.0.1:${port}: the port is in use: ` +
        `stop what listens there, or choose another with ${flag}`,
    ]);
  });

  it.each([
    ["--http", "70000"],
    ["--http", "http://localhost:80"],
    ["--http-host", "a"],
    ["--leader-port", "0"],
  ])("ends with 64 and one line for %s %s", async (...args) => {
    const end = await refused(...args);
    expect(end).toMatchObject({ code: 64, stdout: "", stderr: expect.stringContaining(args[0] ?? "") });
    expect(linesOf(end.stderr)).toHaveLength(1);
  });
});
