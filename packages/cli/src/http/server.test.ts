import { once } from "node:events";
import { type IncomingHttpHeaders, request, type RequestOptions } from "node:http";
import { connect, type Socket } from "node:net";
import { ManualClock } from "@tenure/etcd/runtime";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { EventLog } from "./event-log.ts";
import { EventStreams, MAX_LISTENERS } from "./event-streams.ts";
import type { ActionWanted } from "./actions.ts";
import { jsonAnswer } from "./answer.ts";
import { Gate } from "./gate.ts";
import type { Board } from "./routes.ts";
import { HttpServer, MAX_CONNECTIONS } from "./server.ts";
import { FakeTerm, ServiceBench } from "./testing/fixtures.ts";

interface Got {
  readonly status: number | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

const TOKEN = "0123456789abcdef";

describe("the HTTP server", () => {
  let bench: ServiceBench;
  let log: EventLog;
  let clock: ManualClock;
  let server: HttpServer;
  let port: number;
  const sockets: Socket[] = [];
  const performed: ActionWanted[] = [];

  beforeEach(async () => {
    bench = new ServiceBench();
    bench.lead();
    clock = new ManualClock();
    log = new EventLog();
    const board: Board = { services: [bench.service], status: () => ({}), metrics: () => Buffer.from("") };
    const streams = new EventStreams(log, () => ({ now: log.newest }), clock);
    const gate = new Gate({
      tokens: { matches: (text) => Promise.resolve(text === TOKEN) },
      log: { note: () => undefined },
    });
    const perform = (wanted: ActionWanted) => {
      performed.push(wanted);
      return Promise.resolve(jsonAnswer(200, { result: "done" }));
    };
    server = new HttpServer({ board, streams, gate, actions: { perform }, hosts: ["Allowed.example"] });
    ({ port } = await server.listen({ host: "127.0.0.1", port: 0 }, "--http"));
  });
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    performed.length = 0;
    await server.close();
  });

  function get(path: string, options: RequestOptions & { readonly send?: string | undefined } = {}): Promise<Got> {
    const { send, ...rest } = options;
    return new Promise((resolve, reject) => {
      const sent = request({ port, path, agent: false, ...rest }, (response) => {
        let body = "";
        response.setEncoding("utf8").on("data", (chunk: string) => (body += chunk));
        response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, body }));
      });
      sent.on("error", reject);
      sent.end(send);
    });
  }

  /** A connection, and all that it is sent. */
  async function open(text = ""): Promise<{ readonly socket: Socket; readonly received: () => string }> {
    const socket = connect(port, "127.0.0.1");
    sockets.push(socket);
    let received = "";
    socket.setEncoding("utf8").on("data", (chunk: string) => (received += chunk));
    socket.on("error", () => undefined);
    await once(socket, "connect");
    socket.write(text);
    return { socket, received: () => received };
  }

  /** Listens to events until what arrived satisfies a condition. */
  async function listen(lastEventId?: string) {
    const header = lastEventId === undefined ? "" : `Last-Event-ID: ${lastEventId}\r\n`;
    const stream = await open(`GET /events HTTP/1.1\r\nHost: localhost\r\n${header}\r\n`);
    const has = async (pattern: RegExp): Promise<string> => {
      while (!pattern.test(stream.received())) await once(stream.socket, "data");
      return stream.received();
    };
    await has(/retry:/);
    return { ...stream, has };
  }

  it("answers GET, HEAD and OPTIONS with the same code, the latter two without a body", async () => {
    for (const [path, status] of [
      ["/leader", 200],
      ["/standby", 503],
    ] as const) {
      const full = await get(path);
      expect(full).toMatchObject({ status, headers: { "cache-control": "no-store", "x-tenure-token": "7" } });
      expect(JSON.parse(full.body)).toMatchObject({ role: "leader" });
      expect(await get(path, { method: "HEAD" })).toMatchObject({
        status,
        headers: { "content-length": full.headers["content-length"] },
        body: "",
      });
      const allow = "GET, HEAD, OPTIONS";
      expect(await get(path, { method: "OPTIONS" })).toMatchObject({ status, headers: { allow }, body: "" });
    }
    expect((await get("/leader?activecode=204")).status).toBe(204);
    expect((await get("/events", { method: "HEAD" })).status).toBe(200);
  });

  it.each(["POST", "PUT", "DELETE", "PATCH", "TRACE", "QUERY"])("refuses %s with 405", async (method) => {
    const got = await get("/leader", { method });
    expect(got).toMatchObject({ status: 405, headers: { allow: "GET, HEAD, OPTIONS" } });
    expect(got.body).toContain("error");
  });

  describe("asked to act", () => {
    const bearer = { authorization: `Bearer ${TOKEN}` };

    it("acts for who knows the token, and closes the connection", async () => {
      const got = await get("/transfer?to=b", { method: "POST", headers: bearer });
      expect(got).toMatchObject({ status: 200, headers: { connection: "close" }, body: '{"result":"done"}\n' });
      expect(performed).toMatchObject([{ action: "transfer", service: bench.service }]);
      expect(performed[0]?.query.get("to")).toBe("b");
    });

    const challenge = { "www-authenticate": 'Bearer realm="tenure"' };
    const allow = { allow: "POST, OPTIONS" };
    const post = (headers: Record<string, string>, send?: string) => ({ method: "POST", headers, send });
    it.each<[string, number, RequestOptions & { readonly send?: string | undefined }, object]>([
      ["GET", 405, { method: "GET", headers: bearer }, allow],
      ["HEAD", 405, { method: "HEAD", headers: bearer }, allow],
      ["PUT", 405, { method: "PUT", headers: bearer }, allow],
      ["OPTIONS", 200, { method: "OPTIONS" }, allow],
      ["no token", 401, post({}), challenge],
      ["another scheme", 401, post({ authorization: `Basic ${TOKEN}` }), challenge],
      ["a wrong token", 401, post({ authorization: "Bearer 0123456789abcdee" }), {}],
      ["a forged host", 403, post({ ...bearer, host: "evil.example" }), {}],
      ["a foreign origin", 403, post({ ...bearer, origin: "http://evil.example" }), {}],
      ["the origin null", 403, post({ ...bearer, origin: "null" }), {}],
      ["10 MB", 413, post(bearer, "x".repeat(10_000_000)), {}],
      ["a form", 415, post(bearer, "to=b"), {}],
      ["a chunked body", 415, post({ ...bearer, "transfer-encoding": "chunked" }, "{}"), {}],
    ])("answers %s with %i, and does nothing", async (_, status, options, headers) => {
      expect(await get("/services/job/resign", options)).toMatchObject({ status, headers });
      expect(performed).toEqual([]);
    });
  });

  it("does not do what comes behind an action on its connection, since nobody would hear what came of it", async () => {
    const post = (action: string): string =>
      `POST /${action} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${TOKEN}\r\n\r\n`;
    const socket = connect(port, "127.0.0.1", () => socket.write(post("pause") + post("resume")));
    sockets.push(socket);
    socket.resume();
    await once(socket, "close");
    expect(performed.map(({ action }) => action)).toEqual(["pause"]);
  });

  it("refuses forged hosts and origins, and serves the names it was given", async () => {
    expect((await get("/leader", { headers: { host: "evil.example" } })).status).toBe(403);
    expect((await get("/leader", { headers: { origin: "http://evil.example" } })).status).toBe(403);
    expect((await get("/leader", { headers: { host: "allowed.EXAMPLE:80" } })).status).toBe(200);
    const two = await open(
      "GET /leader HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
    );
    await once(two.socket, "close");
    expect(two.received()).toMatch(/^HTTP\/1.1 400 /);
    const old = await open("OPTIONS /leader HTTP/1.0\r\n\r\n");
    await once(old.socket, "close");
    expect(old.received()).toMatch(/^HTTP\/1.1 200 /);
  });

  it("says 413 to a body of 10 MB, announced or not, reads no more and hangs up", async () => {
    const body = "x".repeat(10_000_000);
    for (const method of ["GET", "POST"]) {
      for (const headers of [{ "content-length": body.length }, { "transfer-encoding": "chunked" }]) {
        const got = await get("/leader", { method, headers, send: body });
        expect(got).toMatchObject({ status: 413, headers: { connection: "close" } });
      }
    }
    const waits = { "content-length": body.length, expect: "100-continue" };
    const asked = request({ port, path: "/leader", method: "POST", headers: waits, agent: false });
    asked.on("error", () => undefined).flushHeaders();
    const [response] = (await once(asked, "response")) as [{ statusCode: number }];
    expect(response.statusCode).toBe(413);
    asked.destroy();
  });

  it("ignores a small body, and serves the next request on the same connection", async () => {
    const ask = "GET /leader HTTP/1.1\r\nHost: localhost\r\n";
    const chunked = `${ask}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`;
    const { socket, received } = await open(
      `${ask}Content-Length: 3\r\n\r\nabc${chunked}${ask}Connection: close\r\n\r\n`,
    );
    await once(socket, "close");
    expect(received().match(/HTTP\/1.1 200 OK/g)).toHaveLength(3);
  });

  it.each([
    ["431", `GET /leader HTTP/1.1\r\nHost: localhost\r\nX: ${"x".repeat(20_000)}\r\n\r\n`],
    ["431", `GET /${"x".repeat(20_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`],
    ["400", "GET /leader HTTP/1.1\r\n\r\n"],
    ["400", "GET http://evil.example/leader HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"],
    ["400", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"],
    ["400", "GET /leader HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"],
    ["200", "GET /leader HTTP/1.1\r\nHost: localhost\r\n__proto__: x\r\nConnection: close\r\n\r\n"],
  ])("answers %s to what is too large or no HTTP, and lives", async (status, text) => {
    const { socket, received } = await open(text);
    await once(socket, "close");
    expect(received()).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect((await get("/leader")).status).toBe(200);
  });

  it("answers 503 first of all when it was blocked past the deadline, though no timer has fired", async () => {
    const started = performance.now();
    const term = new FakeTerm(() => performance.now(), started + 300);
    bench.service.elected(term);
    bench.service.promoted(() => true);
    expect((await get("/leader")).status).toBe(200);
    const { socket, received } = await open();
    // The request waits in the kernel while nothing runs here.
    socket.write("GET /leader HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, started + 350 - performance.now());
    await once(socket, "close");
    expect(received()).toMatch(/^HTTP\/1.1 503 /);
  });

  it("goes on answering while more connections are held open than it keeps, and drops the oldest", async () => {
    const idle = [];
    for (let count = 0; count < MAX_CONNECTIONS + 50; count++) idle.push(await open("GET /leader HTTP/1.1\r\nHost:"));
    expect((await get("/leader")).status).toBe(200);
    const gone = idle.filter(({ socket }) => socket.readableEnded || socket.destroyed);
    expect(gone.length).toBeGreaterThanOrEqual(50);
    expect(gone).toEqual(idle.slice(0, gone.length));
  });

  it("cuts a client off that never finishes its request", async () => {
    const { socket, received } = await open("GET /leader HTTP/1.1\r\nHost: localhost\r\n");
    const drip = setInterval(() => socket.write("X-More: x\r\n"), 200);
    await once(socket, "close");
    clearInterval(drip);
    expect(received()).toMatch(/^HTTP\/1.1 408 /);
  });

  describe("with a stream of events", () => {
    const add = (n: number): void => log.add({ type: "role", election: "job", data: { n } });

    it("tells the state first, then each event with its id", async () => {
      add(1);
      const stream = await listen();
      expect(await stream.has(/"now":1/)).toContain(`id: ${log.idOf(1)}\nevent: state\ndata: {"now":1}\n\n`);
      expect(stream.received()).toMatch(/^HTTP\/1.1 200 OK\r\n(.*\r\n)*content-type: text\/event-stream/i);
      add(2);
      expect(await stream.has(/"n":2/)).toMatch(/\nid: \w+-2\nevent: role\ndata: \{"time":"[^"]+","n":2\}\n\n/);
    });

    it("tells who comes back what it missed, once, and only the state where that is not known", async () => {
      for (let n = 1; n <= 4; n++) add(n);
      const back = await listen(log.idOf(2));
      const text = await back.has(/"n":4/);
      expect([...text.matchAll(/"n":(\d)/g)].map(([, n]) => n)).toEqual(["3", "4"]);
      expect(text).not.toContain("event: state");
      for (const id of ["another-2", log.idOf(9), "garbage", "1".repeat(5000)]) {
        const stranger = await listen(id);
        expect(await stranger.has(/"now":4/)).not.toContain('"n":');
      }
      for (let n = 5; n <= 1100; n++) add(n);
      expect(await (await listen(log.idOf(2))).has(/"now":1100/)).not.toContain('"n":');
    });

    it("tells of one service only when asked to", async () => {
      const { socket, received } = await open("GET /services/job/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
      while (!received().includes("event: state")) await once(socket, "data");
      log.add({ type: "role", election: "other", data: { n: 1 } });
      add(2);
      while (!received().includes('"n":2')) await once(socket, "data");
      expect(received()).not.toContain('"n":1');
    });

    it("shows that it is there, and gives up who does not read", async () => {
      const stream = await listen();
      clock.advance(15_000);
      await stream.has(/\n:\n\n/);
      const deaf = await listen();
      deaf.socket.pause();
      const large = { type: "role", election: "job", data: { text: "x".repeat(1_000_000) } } as const;
      // More than the buffers of two sockets take.
      for (let n = 0; n < 20; n++) {
        log.add(large);
        await new Promise(setImmediate);
      }
      clock.advance(15_000);
      deaf.socket.resume();
      await once(deaf.socket, "close");
      expect(deaf.received().length).toBeLessThan(15_000_000);
    });

    it("has room for so many, tells the rest to come back, and still answers everybody else", async () => {
      const streams = [];
      for (let count = 0; count < MAX_LISTENERS; count++) streams.push(await listen());
      expect(await get("/events")).toMatchObject({ status: 503, headers: { "retry-after": "5" } });
      for (let count = 0; count < MAX_CONNECTIONS; count++) await open();
      expect((await get("/leader")).status).toBe(200);
      add(1);
      for (const stream of streams) await stream.has(/"n":1/);
      streams[0]?.socket.destroy();
      await once(streams[0]?.socket as Socket, "close");
      await listen();
    });

    it("ends them when it is closed", async () => {
      const stream = await listen();
      const ended = once(stream.socket, "close");
      await server.close();
      await ended;
      await expect(get("/leader")).rejects.toThrow(/ECONNREFUSED/);
    });
  });
});
