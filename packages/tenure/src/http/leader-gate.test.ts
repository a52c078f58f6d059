import { createServer, type RequestListener, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import express from "express";
import fastify from "fastify";
import { afterEach, describe, expect, it } from "vitest";
import type { Leader, LeaderChange } from "../leader.ts";
import type { Term } from "../term.ts";
import { LeaderGate, type LeaderGateOptions } from "./leader-gate.ts";

const other: Leader = {
  key: "job/aa",
  value: "http://10.0.0.2:8080",
  valueBytes: Buffer.from("http://10.0.0.2:8080"),
  revision: 7n,
  leaseId: 0xaan,
  self: false,
};
const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** An election that another node leads, as it is seen from here. */
function gate(options: LeaderGateOptions = {}, leader: Leader | null = other): LeaderGate {
  async function* changes(wait?: { readonly signal?: AbortSignal | undefined }): AsyncGenerator<LeaderChange, void> {
    yield { leader, revision: 7n };
    await new Promise((resolve) => wait?.signal?.addEventListener("abort", resolve));
  }
  const made = new LeaderGate({ name: "job", changes }, options);
  closing.push(() => made[Symbol.dispose]());
  return made;
}

const token = 9n;

async function listening(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closing.push(() => new Promise((resolve) => void server.close(resolve)));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const app: RequestListener = (_request, response) => void response.end("work");
const ask = (url: string, init: RequestInit = {}) => fetch(url, { redirect: "manual", ...init });

/** One application behind the gate, in each kind of server. */
const servers: readonly [string, (gate: LeaderGate) => Promise<string>][] = [
  ["node:http", (each) => listening(createServer(each.listener(app)))],
  [
    "Express",
    (each) => {
      const router = express();
      router.use("/api", each.middleware, (_request, response) => void response.send("work"));
      return listening(createServer(router)).then((url) => `${url}/api`);
    },
  ],
  [
    "Fastify",
    async (each) => {
      const server = fastify();
      server.addHook("onRequest", each.onRequest);
      server.all("/*", () => "work");
      closing.push(() => server.close());
      return server.listen({ host: "127.0.0.1", port: 0 });
    },
  ],
];

describe.each(servers)("behind the gate, %s", (_, serve) => {
  it("works while this node leads, judged anew for each request", async () => {
    const each = gate();
    const url = await serve(each);
    const term = { token, held: true };
    each.open(term as Term);
    expect(await (await ask(`${url}/x`)).text()).toBe("work");
    term.held = false;
    expect((await ask(`${url}/x`)).status).toBe(503);
  });

  it("answers 503 while another one does, and closes the connection", async () => {
    const url = await serve(gate());
    const answer = await ask(`${url}/x`, { method: "POST", body: "{}" });
    expect(answer.status).toBe(503);
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      "retry-after": "1",
      connection: "close",
      "cache-control": "no-store",
    });
    expect(await answer.json()).toEqual({ error: "this node does not lead job", leader: other.value });
  });

  it("sends requests to the leader, whole path and method kept", async () => {
    const url = await serve(gate({ locate: ({ value }) => value }));
    const answer = await ask(`${url}/x?y=1`, { method: "POST", body: "{}" });
    expect([answer.status, answer.headers.get("location")]).toEqual([
      307,
      `http://10.0.0.2:8080${new URL(url).pathname.replace(/\/$/, "")}/x?y=1`,
    ]);
  });

  it("answers health checks", async () => {
    const each = gate({ healthPath: new URL(await serve(gate())).pathname === "/api" ? "/api/-" : "/-" });
    const url = await serve(each);
    const codes = async () =>
      Promise.all(
        ["leader", "standby", "readyz", "livez", "none"].map(async (at) => (await ask(`${url}/-/${at}`)).status),
      );
    expect(await codes()).toEqual([503, 200, 200, 200, 404]);
    each.open({ token, held: true } as Term);
    expect(await codes()).toEqual([200, 503, 200, 200, 404]);
    expect(await (await ask(`${url}/-/status`)).json()).toMatchObject({ election: "job", role: "leader", token: "9" });
  });
});

describe("a redirect", () => {
  it.each([
    ["no value that can be a URL", "node-b"],
    ["a URL of another kind", "javascript:alert(1)"],
  ])("is not made of %s", async (_, value) => {
    const url = await listening(createServer(gate({ locate: () => value }).listener(app)));
    expect((await ask(url)).status).toBe(503);
  });

  it("is not made where the leader's value cannot be read", async () => {
    const locate = ({ value }: Leader): string => (JSON.parse(value) as { url: string }).url;
    const url = await listening(createServer(gate({ locate }).listener(app)));
    expect((await ask(url)).status).toBe(503);
  });

  it("goes to the leader's host, whatever the request names", async () => {
    const url = await listening(createServer(gate({ locate: ({ value }) => value }).listener(app)));
    const socket = connect(Number(new URL(url).port), "127.0.0.1");
    socket.end("GET //evil.example/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    const text = (await socket.setEncoding("utf8").toArray()).join("");
    expect(/^location: (.*)$/im.exec(text)?.[1]?.trim()).toBe("http://10.0.0.2:8080//evil.example/x");
  });

  it("is not made to this node itself, nor while nobody leads", async () => {
    for (const leader of [{ ...other, self: true }, null]) {
      const url = await listening(createServer(gate({ locate: ({ value }) => value }, leader).listener(app)));
      expect((await ask(url)).status).toBe(503);
    }
  });
});
