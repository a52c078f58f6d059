import { createServer } from "node:net";
import { describe, expect, it } from "vitest";
import { listen } from "./http/listen.ts";
import { hostAndPort, isLoopback, parseAddress } from "./listening.ts";

describe("an address to listen on", () => {
  it.each([
    ["8008", "127.0.0.1:8008"],
    [":8008", "127.0.0.1:8008"],
    ["0", "127.0.0.1:0"],
    ["0.0.0.0:8008", "0.0.0.0:8008"],
    ["localhost:80", "localhost:80"],
    ["Node-A.example:65535", "node-a.example:65535"],
    ["[::1]:8008", "[::1]:8008"],
    ["[::]:8008", "[::]:8008"],
  ])("may be %j, which is %s", (text, address) => expect(hostAndPort(parseAddress("--http", text))).toBe(address));

  it.each([
    "",
    ":",
    "x",
    "-1",
    "80.5",
    "65536",
    "127.0.0.1",
    "127.0.0.1:",
    "127.0.0.1:99999",
    "1.2.3:80",
    "999.1.1.1:80",
    "::1:8008",
    "[::g]:80",
    "[127.0.0.1]:80",
    "http://localhost:80",
    "user@host:80",
    "*:80",
    "a b:80",
    "80\n",
  ])("is never %j", (text) => {
    expect(() => parseAddress("--http", text)).toThrow(/^--http: .* is no PORT or HOST:PORT/);
  });

  it("is known for what others can reach", () => {
    expect(["127.0.0.1", "127.8.0.1", "localhost", "::1"].map(isLoopback)).toEqual([true, true, true, true]);
    expect(["0.0.0.0", "::", "10.0.0.5", "127.evil.example", "node-a"].some(isLoopback)).toBe(false);
  });

  it("that cannot be had ends with 73 and one line", async () => {
    const first = createServer();
    const taken = await listen(first, { host: "127.0.0.1", port: 0 }, "--http");
    const trying = (host: string, port: number): Promise<unknown> => listen(createServer(), { host, port }, "--http");
    await expect(trying(taken.host, taken.port)).rejects.toMatchObject({
      exitCode: 73,
      message: expect.stringMatching(
        /^cannot listen on 127.0.0.1:\d+: the port is in use: stop .* choose another with --http$/,
      ),
    });
    await expect(trying("192.0.2.1", 8008)).rejects.toMatchObject({ exitCode: 73 });
    await expect(trying("no-such-host.invalid", 8008)).rejects.toMatchObject({ exitCode: 73 });
    first.close();
  });
});
