import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { expect, it } from "vitest";
import { killed, launch } from "../support/children.ts";
import { SocketOwners } from "./src/socket-owners.ts";

it.runIf(process.platform === "linux")("tells which process opened a connection, when many ask at once", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  const came: Socket[] = [];
  server.on("connection", (socket) => came.push(socket.on("error", () => undefined)));
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const program = `for (let index = 0; index < 3; index++) require("node:net").connect(${port}, "127.0.0.1")`;
  const children = [1, 2].map(() => launch(process.execPath, ["-e", program], { env: process.env }));
  const pids = children.map(({ pid }) => pid ?? 0);
  try {
    await expect.poll(() => came.length, { timeout: 20_000 }).toBe(6);
    const owners = new SocketOwners();
    const found = await Promise.all(came.map(({ remotePort = 0 }) => owners.ownerOf(remotePort, pids)));
    expect(found.toSorted((a, b) => a - b)).toEqual([0, 0, 0, 1, 1, 1]);
    expect(await owners.ownerOf(came[0]?.remotePort ?? 0, [process.pid])).toBe(-1);
    expect(await owners.ownerOf(port, pids)).toBe(-1); // it only listens
  } finally {
    await Promise.all(children.map(killed));
    for (const socket of came) socket.destroy();
    server.close();
  }
});
