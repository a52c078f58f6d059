import { execFile } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { reservable, reservePorts } from "./ports.ts";

it("reserves ports that differ, which nobody else gets until they are released", async () => {
  const [one, other] = await reservePorts(2);
  if (one === undefined || other === undefined) throw new Error("no ports");
  expect(one.port).not.toBe(other.port);
  const only = [one.port, one.port] as const;
  await expect(reservePorts(1, only)).rejects.toThrow(`there are no 1 free ports from ${one.port} to ${one.port}`);
  expect(await bindsElsewhere(one.port)).toBe(false);
  one.release();
  const [again] = await reservePorts(1, only);
  expect(again?.port).toBe(one.port);
  again?.release();
  again?.release();
  other.release();
});

it("leaves out a port that a server listens on, and gives back what it took when there are too few", async () => {
  const [free, busy] = await neighbours();
  const server = createServer().listen(busy, "127.0.0.1");
  await once(server, "listening");
  await expect(reservePorts(2, [free, busy])).rejects.toThrow("there are no 2 free ports");
  const [reserved] = await reservePorts(1, [free, busy]);
  expect(reserved?.port).toBe(free);
  reserved?.release();
  server.close();
});

it.each([
  [
    [32_768, 60_999],
    [20_000, 32_767],
  ],
  [
    [1_024, 40_000],
    [40_001, 65_535],
  ],
  [
    [10_000, 65_535],
    [20_000, 65_535],
  ],
] as const)("keeps out of the kernel's ports %s, unless it has nearly all", (ephemeral, expected) => {
  expect(reservable(ephemeral)).toEqual(expected);
});

it("lets a server have the port that was reserved for it", async () => {
  const [reserved] = await reservePorts(1);
  const server = createServer().listen(reserved?.port, "127.0.0.1");
  await once(server, "listening");
  expect(server.address()).toMatchObject({ port: reserved?.port });
  server.close();
  reserved?.release();
});

// Two free ports in a row.
async function neighbours(): Promise<[number, number]> {
  for (;;) {
    const [one] = await reservePorts(1);
    one?.release();
    const first = one?.port ?? 0;
    const both = await reservePorts(2, [first, first + 1]).catch(() => []);
    for (const each of both) each.release();
    if (both.length === 2) return [first, first + 1];
  }
}

// Another process holds a reservation just as this one does.
async function bindsElsewhere(port: number): Promise<boolean> {
  const program = `require("node:dgram").createSocket("udp4")
    .on("error", () => console.log("taken"))
    .bind(${port}, "127.0.0.1", function () { console.log("bound"); this.close(); })`;
  const { stdout } = await promisify(execFile)(process.execPath, ["-e", program]);
  return stdout.trim() === "bound";
}
