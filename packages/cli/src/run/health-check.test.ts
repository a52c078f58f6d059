import { getEventListeners } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer, type Server } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { type HealthCheck, healthCheck, healthQuestion } from "./health-check.ts";

const never = new AbortController().signal;
const context = { env: process.env, log: { note: () => undefined }, guard: undefined };
const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

function checkOf(flags: Parameters<typeof healthQuestion>[0]): HealthCheck {
  const question = healthQuestion(flags);
  if (question === undefined) throw new Error("no question");
  return healthCheck(question, context);
}

async function listening(server: Server): Promise<number> {
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

describe("a health check", () => {
  it("by a command: its exit code, within the limit", async () => {
    expect(await checkOf({ healthCmd: "exit 0" })(5000, never)).toBeUndefined();
    expect(await checkOf({ healthCmd: "exit 3" })(5000, never)).toBe("the health command exited with 3");
    expect(await checkOf({ healthCmd: "sleep 100" })(50, never)).toBe("the health command took longer than 0.05 s");
    const stop = new AbortController();
    const stopped = checkOf({ healthCmd: "sleep 100" })(60_000, stop.signal);
    stop.abort();
    expect(await stopped).toBe("cut short");
  });

  it("leaves nothing on the signal, which lives as long as the node", async () => {
    const { signal } = new AbortController();
    const port = await listening(createHttpServer((_request, response) => void response.writeHead(204).end()));
    const checks = [{ healthCmd: "true" }, { healthHttp: `http://127.0.0.1:${port}/` }, { healthTcp: `:${port}` }];
    for (const flags of checks) expect(await checkOf(flags)(5000, signal)).toBeUndefined();
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });

  it("by HTTP: 2xx and 3xx, within the limit, redirects not followed", async () => {
    const port = await listening(
      createHttpServer((request, response) => {
        const status = Number(request.url?.slice(1));
        if (status !== 0) response.writeHead(status, { location: "/500" }).end();
      }),
    );
    const ask = (status: number, limitMs = 5000) =>
      checkOf({ healthHttp: `http://127.0.0.1:${port}/${status}` })(limitMs, never);
    expect([await ask(200), await ask(302)]).toEqual([undefined, undefined]);
    expect(await ask(503)).toBe(`http://127.0.0.1:${port}/503 answers 503`);
    expect(await ask(0, 50)).toBe(`http://127.0.0.1:${port}/0 did not answer within 0.05 s`);
    expect(await checkOf({ healthHttp: "http://127.0.0.1:1/" })(5000, never)).toMatch(/ECONNREFUSED/);
  });

  it("by TCP: whether a connection is accepted", async () => {
    const server = createServer((socket) => socket.destroy());
    const port = await listening(server);
    const check = checkOf({ healthTcp: `:${port}` });
    expect(await check(5000, never)).toBeUndefined();
    await new Promise((resolve) => void server.close(resolve));
    expect(await check(5000, never)).toMatch(/^127\.0\.0\.1:\d+: connect ECONNREFUSED/);
    expect(await check(5000, AbortSignal.abort())).toBe("cut short");
  });

  it.each([
    [{ healthCmd: "true", healthTcp: "1" }, /one of them will do/],
    [{ healthHttp: "ftp://x/" }, /--health-http: "ftp:\/\/x\/" is no http:\/\/ or https:\/\/ address/],
    [{ healthHttp: "http://u:secret@x/" }, /^--health-http: it must not hold a user or a password$/],
    [{ healthTcp: "x" }, /--health-tcp: "x" is no PORT or HOST:PORT/],
    [{ healthTcp: "0" }, /nothing listens on port 0/],
  ])("%j is refused", (flags, message) => {
    expect(() => healthQuestion(flags)).toThrow(message);
  });
});
