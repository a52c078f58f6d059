// The HTTP/2 client over TLS, whose sockets keep other times than plain ones.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ErrorCode, Flag, frameBytes, FrameType } from "../../packages/etcd/src/http2/frames.ts";
import { answerFrames, Recorder, ScriptedPeer } from "../../packages/etcd/src/testing/scripted-peer.ts";
import { createAuthority } from "../support/certificates.ts";

let dir: string;
let tls: { readonly cert: Buffer; readonly key: Buffer };

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "tenure-http2-"));
  const { certFile, keyFile } = await (await createAuthority(dir, "known")).issue("server");
  tls = { cert: await readFile(certFile), key: await readFile(keyFile) };
});
afterAll(() => rm(dir, { recursive: true }));

const ping = frameBytes(FrameType.ping, 0, 0, Buffer.alloc(8));

describe("over TLS, a session", () => {
  it("sends what its last turn gave it, before its end", async () => {
    await using peer = await ScriptedPeer.start([], { tls });
    const cancelled = await peer.open();
    cancelled.stream.reset(ErrorCode.cancel);
    const call = new Recorder().begin(peer.session);
    call.stream.send(Buffer.alloc(30_000), true);
    peer.session.destroy();
    await peer.until(() => peer.ended, "end of the connection");
    expect([peer.resets(1), peer.dataBytes(3), peer.goodbyes()]).toEqual([
      [ErrorCode.cancel],
      30_000,
      [ErrorCode.noError],
    ]);
    expect([call.ends.length, peer.told]).toEqual([1, ["destroyed"]]);
  });

  it.each([
    ["closed", (peer: ScriptedPeer) => void peer.socket.end()],
    ["cut off", (peer: ScriptedPeer) => void peer.socket.destroy()],
  ])("that is %s ends its requests, once each", async (_, end) => {
    await using peer = await ScriptedPeer.start([], { tls });
    const calls = [await peer.open(), await peer.open()];
    peer.send(answerFrames(1));
    await peer.until(() => calls[0]?.ends.length === 1, "end of a call");
    end(peer);
    await peer.until(() => peer.told.length > 0, "end of the session");
    expect(calls.map(({ ends, late }) => [ends.length, late])).toEqual([
      [1, 0],
      [1, 0],
    ]);
  });

  // A write is never done there when it returns: nothing may be made of that.
  it("answers pings for as long as they are read", async () => {
    await using peer = await ScriptedPeer.start([], { tls });
    for (let round = 0; round < 15; round++) {
      peer.send(...Array.from({ length: 1000 }, () => ping));
      await peer.taken();
    }
    expect(peer.session.destroyed).toBe(false);
    const answers = peer.frames.filter(({ type, flags }) => type === FrameType.ping && flags === Flag.ack);
    expect(answers.length).toBeGreaterThan(15_000);
  });

  it("does not answer for ever when nothing is read", async () => {
    await using peer = await ScriptedPeer.start([], { tls });
    const call = await peer.open();
    peer.socket.pause();
    peer.clientSocket.once("close", () => peer.socket.resume());
    const flood = Buffer.concat(Array.from({ length: 2000 }, () => ping));
    const more = (): void => void (peer.session.destroyed || peer.socket.write(flood, more));
    more();
    await peer.until(() => call.ends.length > 0, "end");
    expect(call.error.message).toContain("does not read them");
  });
});
