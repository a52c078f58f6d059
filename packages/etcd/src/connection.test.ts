import * as http2 from "node:http2";
import { afterEach, describe, expect, it, vi } from "vitest";
import { Connection, type SessionCheck } from "./connection.ts";
import { parseEndpoint } from "./endpoint.ts";
import { EtcdError } from "./errors.ts";
import { PutResponseSchema } from "./gen/rpc_pb.ts";
import type { Http2Session } from "./http2/http2.ts";
import { systemClock } from "./runtime/clock.ts";
import { ManualClock } from "./runtime/manual-clock.ts";
import { failure } from "./testing/failure.ts";
import { answer, clientOf, closeClients, FakeServer, WAIT } from "./testing/fake-server.ts";

afterEach(closeClients);

describe("a connection", () => {
  it("is not used for new calls after a GOAWAY, while its open calls finish", async () => {
    await using server = await FakeServer.start(() => undefined);
    const client = clientOf([server]);
    const first = client.kv.put("k", "v");
    await vi.waitFor(() => expect(server.calls[0]?.messages).toHaveLength(1), WAIT);
    server.onMessage = (call) => answer(call, PutResponseSchema, {});
    for (const session of server.sessions) session.close();
    await client.kv.put("k", "v");
    expect(server.sessionsSeen).toBe(2);
    expect(server.sessions.size).toBe(2);
    const [open] = server.calls;
    if (open !== undefined) answer(open, PutResponseSchema, {});
    await expect(first).resolves.toBeDefined();
    await vi.waitFor(() => expect(server.sessions.size).toBe(1), WAIT);
  });

  it("is made anew for a call that crossed the GOAWAY of the old one", async () => {
    await using server = await FakeServer.start();
    const client = clientOf([server]);
    await client.kv.put("k", "v");
    const [first] = server.calls;
    server.onMessage = ({ stream }) => {
      server.onMessage = (call) => answer(call, PutResponseSchema, {});
      // The call that just came is not among those the server says it has read.
      stream.session?.goaway(http2.constants.NGHTTP2_NO_ERROR, first?.stream.id);
    };
    await client.kv.put("k", "v");
    expect([server.calls.length, server.sessionsSeen]).toEqual([3, 2]);
    await client.kv.put("k", "v");
    expect([server.calls.length, server.sessionsSeen]).toEqual([4, 2]);
  });

  it("is made anew after the server closed it", async () => {
    await using server = await FakeServer.start();
    const client = clientOf([server]);
    await client.kv.put("k", "v");
    for (const session of server.sessions) session.destroy();
    await vi.waitFor(async () => {
      await client.kv.put("k", "v");
      expect(server.sessionsSeen).toBe(2);
    }, WAIT);
  });

  it("is nobody's to use before its session was looked at, each session anew", async () => {
    await using server = await FakeServer.start();
    const looks: Http2Session[] = [];
    let verdict = (): Promise<void> => Promise.resolve();
    const check: SessionCheck = (_, session) => {
      looks.push(session);
      return verdict();
    };
    const options = { clock: systemClock, connectTimeoutMs: 1000, check };
    const connection = new Connection(parseEndpoint(server.endpoint), options);
    let pass: () => void = () => undefined;
    verdict = () => new Promise((resolve) => (pass = resolve));
    const first = connection.session();
    await vi.waitFor(() => expect(looks).toHaveLength(1), WAIT);
    expect(connection.session()).toBe(first);
    pass();
    const session = await first;
    expect(looks).toEqual([session]);
    expect(connection.session()).toBe(session);

    connection.drop(session);
    verdict = () => Promise.reject(new EtcdError("unavailable", "somebody else", { mayHaveApplied: false }));
    await expect(connection.session()).rejects.toThrow("somebody else");
    await vi.waitFor(() => expect(server.sessions.size).toBe(0), WAIT);
    verdict = () => Promise.resolve();
    await connection.session();
    expect(looks).toHaveLength(3);
    verdict = () => new Promise((resolve) => (pass = resolve));
    connection.drop(looks[2] as Http2Session);
    const last = failure(Promise.resolve(connection.session()));
    await vi.waitFor(() => expect(looks).toHaveLength(4), WAIT);
    connection.close("not wanted");
    pass();
    expect((await last).message).toBe("not wanted");
    await vi.waitFor(() => expect(server.sessions.size).toBe(0), WAIT);
  });

  it("is asked for one sign of life for many calls without an answer, as its server bears few pings", async () => {
    await using server = await FakeServer.start();
    const clock = new ManualClock();
    const connection = new Connection(parseEndpoint(server.endpoint), { clock, connectTimeoutMs: 1000 });
    const session = await connection.session();
    await vi.waitFor(() => expect(server.sessions.size).toBe(1), WAIT);
    let pings = 0;
    for (const each of server.sessions) each.on("ping", () => pings++);
    const suspect = async (): Promise<void> => {
      for (let call = 0; call < 5; call++) connection.suspect(session, false);
      // One more, behind those.
      await new Promise<void>((resolve) => session.ping(resolve));
    };
    await suspect();
    expect(pings).toBe(2);
    clock.advance(5000);
    await suspect();
    expect(pings).toBe(3);
    clock.advance(1000);
    await suspect();
    expect(pings).toBe(5);
    clock.advance(6000);
    expect(session.closed).toBe(false);
    connection.suspect(session, false);
    clock.advance(1000);
    expect(session.closed).toBe(true);
  });

  it("that ends while it is asked for a sign of life waits for none", async () => {
    await using server = await FakeServer.start();
    const clock = new ManualClock();
    const connection = new Connection(parseEndpoint(server.endpoint), { clock, connectTimeoutMs: 1000 });
    connection.suspect(await connection.session(), false);
    expect(clock.due).toEqual([1000]);
    connection.close();
    await vi.waitFor(() => expect(clock.due).toEqual([]), WAIT);
  });

  it("that is closed ends its calls, and refuses others without asking anybody", async () => {
    await using server = await FakeServer.start(() => undefined);
    const client = clientOf([server]);
    const call = failure(client.kv.put("k", "v"));
    await vi.waitFor(() => expect(server.calls).toHaveLength(1), WAIT);
    await client.close();
    expect((await call).code).toBe("unavailable");
    const refused = await failure(client.kv.put("k", "v"));
    expect(refused).toMatchObject({ code: "unavailable", mayHaveApplied: false });
    expect(refused.message).toContain("the client is closed");
    await vi.waitFor(() => expect(server.sessions.size).toBe(0), WAIT);
    expect(server.calls).toHaveLength(1);
  });

  it("that is closed while it is being made ends the calls that wait for it", async () => {
    await using server = await FakeServer.start();
    const client = clientOf([server]);
    const call = failure(client.kv.put("k", "v"));
    await client.close();
    expect(await call).toMatchObject({ code: "unavailable", mayHaveApplied: false });
    expect(server.calls).toHaveLength(0);
  });
});
