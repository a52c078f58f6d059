// The three stacks against three servers that behave: each pair gives the same.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { settled } from "../support/until.ts";
import { type ClientName, clientNames, connectTo } from "./clients.ts";
import { ending, readToEnd } from "./outcome.ts";
import { startServer, type TestServer } from "./servers.ts";

const MIB = 1024 * 1024;

describe.each(["etcd", "embed", "grpc-js"] as const)("%s", (serverName) => {
  let server: TestServer;

  beforeAll(async () => {
    server = await startServer(serverName);
  });
  afterAll(() => server.stop());

  async function putting(name: ClientName, bytes: number): Promise<string> {
    const client = connectTo(name, server.endpoint);
    try {
      await settled(client.put(Buffer.alloc(bytes)), { what: "answer" });
      return "ok";
    } catch (error) {
      return ending(error).code;
    } finally {
      client.close();
    }
  }

  it.each(clientNames)("takes what %s puts, up to its limits", async (name) => {
    expect(await putting(name, 0)).toBe("ok");
    expect(await putting(name, 1.4 * MIB)).toBe("ok");
    // etcd's own limit, and then gRPC's.
    expect(await putting(name, 1.6 * MIB)).toBe(serverName === "grpc-js" ? "ok" : "invalid-argument");
    expect(await putting(name, 3 * MIB)).toBe("resource-exhausted");
  });

  it.each(clientNames)("answers keep-alives of %s one by one until it has no more", async (name) => {
    const client = connectTo(name, server.endpoint);
    const stream = client.keepAlive();
    for (let round = 0; round < 3; round++) {
      stream.send(0x7777_7777n);
      expect((await settled(stream.answers.next(), { what: "answer" })).done).toBe(false);
    }
    stream.halfClose();
    expect(await settled(readToEnd(stream.answers), { what: "end" })).toMatchObject({ code: "ok", messages: 0 });
    client.close();
  });
});
