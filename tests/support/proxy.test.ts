import { once } from "node:events";
import { createConnection, createServer, type AddressInfo, type Socket } from "node:net";
import { describe, expect, it } from "vitest";
import { startProxy, type Proxy } from "./proxy.ts";
import { pause, until } from "./until.ts";

interface Setup extends AsyncDisposable {
  readonly proxy: Proxy;
  connect(): Client;
}

interface Client {
  readonly socket: Socket;
  readonly received: () => string;
}

async function setup(): Promise<Setup> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => undefined);
    socket.pipe(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const proxy = await startProxy(`127.0.0.1:${(server.address() as AddressInfo).port}`);
  const sockets: Socket[] = [];
  return {
    proxy,
    connect: () => {
      const socket = createConnection({ host: "127.0.0.1", port: Number(proxy.address.split(":")[1]) });
      sockets.push(socket);
      let text = "";
      socket.on("data", (chunk) => (text += chunk.toString()));
      socket.on("error", () => undefined);
      return { socket, received: () => text };
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await proxy.stop();
      server.close();
    },
  };
}

describe("startProxy()", () => {
  it("passes bytes on both ways, and the end of them", async () => {
    await using use = await setup();
    const { socket, received } = use.connect();
    const sent = "x".repeat(3_000_000);
    socket.end(sent);
    await once(socket, "close");
    expect(received() === sent).toBe(true); // a diff of megabytes helps nobody
    await until(() => use.proxy.connections === 0, { what: "end of the connection" });
  });

  it("cut() resets connections, new ones too, until heal()", async () => {
    await using use = await setup();
    const { socket } = use.connect();
    await until(() => use.proxy.connections === 1, { what: "connection" });
    use.proxy.cut();
    await until(() => socket.errored, { what: "reset" });
    const second = use.connect();
    await until(() => second.socket.closed, { what: "reset" });

    use.proxy.heal();
    const { socket: next, received } = use.connect();
    next.write("hello");
    await until(() => received() === "hello", { what: "echo" });
  });

  it.each(["up", "down", "both"] as const)("blackhole(%s) holds everything back until heal()", async (direction) => {
    await using use = await setup();
    const { socket, received } = use.connect();
    socket.write("a");
    await until(() => received() === "a", { what: "echo" });
    use.proxy.blackhole(direction);
    socket.end("b");
    await pause(100);
    expect(received()).toBe("a");
    expect(socket.destroyed).toBe(false);
    use.proxy.heal();
    await until(() => received() === "ab", { what: "echo" });
    await until(() => use.proxy.connections === 0, { what: "end of the connection" });
  });

  it("strand() holds back what the open connections carry until heal(), and lets new ones work", async () => {
    await using use = await setup();
    const { socket, received } = use.connect();
    socket.write("a");
    await until(() => received() === "a", { what: "echo" });
    use.proxy.strand();
    socket.write("b");
    const later = use.connect();
    later.socket.write("c");
    await until(() => later.received() === "c", { what: "echo" });
    expect(received()).toBe("a");
    expect(socket.destroyed).toBe(false);
    use.proxy.heal();
    await until(() => received() === "ab", { what: "echo" });
  });

  it("passes a reset on", async () => {
    await using use = await setup();
    const { socket } = use.connect();
    await until(() => use.proxy.connections === 1, { what: "connection" });
    socket.resetAndDestroy();
    await until(() => use.proxy.connections === 0, { what: "end of the connection" });
  });

  it("delay() holds bytes back and keeps their order", async () => {
    await using use = await setup();
    const { socket, received } = use.connect();
    socket.write("0");
    await until(() => received() === "0", { what: "echo" });
    use.proxy.delay(100);
    const started = performance.now();
    socket.write("a");
    await pause(20);
    use.proxy.delay(10);
    socket.write("b");
    await until(() => received() === "0ab", { what: "echo" });
    expect(performance.now() - started).toBeGreaterThan(95);
  });
});
