import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { Connections } from "./connections.ts";
import { closed, listen } from "./listen.ts";

describe("the connections of a server", () => {
  const server = createServer();
  const connections = new Connections(server, 2);
  const accepted: Socket[] = [];
  server.on("connection", (socket: Socket) => accepted.push(socket));

  afterEach(async () => {
    const done = closed(server);
    connections.closeAll();
    await done;
  });

  it("are as many as it may have: the oldest goes that is not kept", async () => {
    const { port } = await listen(server, { host: "127.0.0.1", port: 0 }, "");
    const open = async (): Promise<Socket> => {
      const socket = connect(port, "127.0.0.1");
      await Promise.all([once(socket, "connect"), once(server, "connection")]);
      return socket.resume();
    };
    const kept = await open();
    connections.keep(accepted[0] ?? kept);
    const [first, second] = [await open(), await open()];
    const gone = once(first, "close");
    const third = await open();
    await gone;
    const gone2 = once(second, "close");
    const fourth = await open();
    await gone2;
    expect([kept, first, second, third, fourth].map((socket) => socket.destroyed)).toEqual([
      false,
      true,
      true,
      false,
      false,
    ]);
    await Promise.all(
      [kept, third, fourth].map(async (socket) => {
        const end = once(socket, "close");
        connections.closeAll();
        await end;
      }),
    );
  });
});
