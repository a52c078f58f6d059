import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AgentCheck } from "./agent-check.ts";
import { LeaderPort } from "./leader-port.ts";
import { listen } from "./listen.ts";
import { ServiceBench } from "./testing/fixtures.ts";

const HOST = "127.0.0.1";

/** What a connection is told until it ends, or how it fails. */
function told(port: number, says = ""): Promise<string> {
  return new Promise((resolve) => {
    let received = "";
    const socket = connect(port, HOST);
    socket.setEncoding("utf8").on("data", (chunk: string) => (received += chunk));
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? ""));
    socket.on("close", () => resolve(received));
    socket.write(says);
  });
}

describe("HAProxy's agent check", () => {
  it("is told one word it knows, by the clock of that instant", async () => {
    const bench = new ServiceBench();
    const check = new AgentCheck(bench.service);
    const { port } = await check.listen({ host: HOST, port: 0 }, "--agent-check");
    expect(await told(port)).toBe("down #starting\n");
    bench.store.token = 7n;
    expect(await told(port)).toBe("down #standby\n");
    bench.lead(9000);
    expect(await told(port)).toBe("up\n");
    expect(await told(port, "some text of HAProxy's\n".repeat(1000))).toBe("up\n");
    bench.clock.advance(9000);
    expect(await told(port)).toBe("down #stopping\n");
    await check.close();
    expect(await told(port)).toBe("ECONNREFUSED");
  });
});

describe("the leader's port", () => {
  let bench: ServiceBench;
  let port: number;
  const notes: string[] = [];
  const open: LeaderPort[] = [];

  beforeEach(async () => {
    bench = new ServiceBench();
    const server = createServer();
    ({ port } = await listen(server, { host: HOST, port: 0 }, ""));
    server.close();
    await once(server, "close");
  });
  afterEach(async () => {
    for (const each of open.splice(0)) await each.close();
    notes.length = 0;
  });

  async function start(): Promise<LeaderPort> {
    const leaderPort = new LeaderPort(bench.service, { host: HOST, port }, "--leader-port", {
      note: (text) => notes.push(text),
    });
    open.push(leaderPort);
    await leaderPort.start();
    return leaderPort;
  }

  async function connected(): Promise<Socket> {
    for (;;) {
      const socket = connect(port, HOST);
      const result = await new Promise((resolve) => {
        socket.once("connect", () => resolve("open"));
        socket.on("error", () => resolve("refused"));
      });
      if (result === "open") return socket;
      await new Promise(setImmediate);
    }
  }

  it("is open while it leads, and closed with all its connections when it does not, by itself", async () => {
    await start();
    expect(await told(port)).toBe("ECONNREFUSED");
    bench.lead(9000);
    const held = [await connected(), await connected()];
    const closed = held.map((socket) => once(socket, "close"));
    // Nobody tells it: it looks at the clock.
    bench.clock.advance(9000);
    await Promise.all(closed);
    expect(await told(port)).toBe("ECONNREFUSED");
    bench.lead(9000);
    (await connected()).destroy();
    expect(notes).toEqual([]);
  });

  it("turns at once when it is told to look", async () => {
    const leaderPort = await start();
    bench.lead(9000);
    leaderPort.look();
    const socket = await connected();
    const closed = once(socket, "close");
    bench.clock.advance(9000);
    leaderPort.look();
    expect(await told(port)).toBe("ECONNREFUSED");
    await closed;
  });

  it("is refused at the start when somebody listens there, or the machine has no such address", async () => {
    const other = createServer((socket) => socket.destroy());
    await listen(other, { host: HOST, port }, "");
    await expect(start()).rejects.toMatchObject({ exitCode: 73, message: expect.stringContaining("in use") });
    other.close();
    const elsewhere = new LeaderPort(bench.service, { host: "192.0.2.1", port }, "--leader-port", {
      note: () => undefined,
    });
    await expect(elsewhere.start()).rejects.toMatchObject({ exitCode: 73 });
    await elsewhere.close();
  });

  it("says that it cannot be opened, and is when it can", async () => {
    await start();
    const other = createServer((socket) => socket.destroy());
    await listen(other, { host: HOST, port }, "");
    bench.lead(9000);
    while (notes.length === 0) await new Promise((resolve) => void setTimeout(resolve, 10));
    expect(notes[0]).toContain("--leader-port: cannot listen");
    other.close();
    await once(other, "close");
    const socket = await connected();
    await new Promise(setImmediate);
    expect(socket.destroyed).toBe(false);
    socket.destroy();
  });
});
