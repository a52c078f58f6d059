import { describe, expect, it, vi } from "vitest";
import {
  answerFrames,
  dataFrame,
  goawayFrame,
  headersFrame,
  Recorder,
  resetFrame,
  ScriptedPeer,
  TRAILERS,
  windowFrame,
} from "../testing/scripted-peer.ts";
import { ErrorCode, Flag, frameBytes, FrameType, numberFrame, Setting } from "./frames.ts";
import { Http2Error } from "./http2-error.ts";

const EMPTY = Buffer.alloc(0);

describe("the end of a request", () => {
  it.each([
    ["its reset", resetFrame(1, ErrorCode.internalError), "INTERNAL_ERROR"],
    ["a refusal", resetFrame(1, ErrorCode.refusedStream), "REFUSED_STREAM"],
    ["a code of nobody", resetFrame(1, 0xdead), "code 57005"],
  ])("by the server is told with its code: %s", async (_, frame, name) => {
    await using peer = await ScriptedPeer.start();
    const call = await peer.open();
    peer.send(frame);
    await peer.until(() => call.ends.length > 0, "end");
    expect(call.error.message).toContain(name);
    expect(call.error).toBeInstanceOf(Http2Error);
    expect(peer.resets(1)).toEqual([]);
  });

  it("is told once, whatever comes behind it", async () => {
    await using peer = await ScriptedPeer.start();
    const call = await peer.open();
    peer.send(answerFrames(1), dataFrame(1, "x"), headersFrame(1, TRAILERS, true), resetFrame(1, 0), resetFrame(1, 7));
    await peer.taken();
    peer.socket.end();
    await peer.until(() => peer.told.includes("destroyed"), "end of the session");
    expect([call.ends, call.late, call.bytes.toString()]).toEqual([[undefined], 0, "answer"]);
  });

  it("from here is heard by the server, and by nobody else", async () => {
    await using peer = await ScriptedPeer.start();
    const call = await peer.open();
    call.stream.reset(ErrorCode.cancel);
    call.stream.reset(ErrorCode.cancel);
    call.stream.send(Buffer.from("late"), true);
    peer.send(answerFrames(1));
    await peer.taken();
    expect(peer.resets(1)).toEqual([ErrorCode.cancel]);
    expect([call.headers, call.data, call.ends, peer.dataBytes()]).toEqual([[], [], [], 0]);
  });

  it("is a reset where the server ended first and our side is not sent", async () => {
    await using peer = await ScriptedPeer.start([[Setting.initialWindowSize, 3]]);
    const calls = [await peer.open(), await peer.open(), await peer.open()] as const;
    calls[0].stream.send(Buffer.from("long"), true);
    for (const call of calls) call.act = (event) => void (event === "end" && call.stream.finish());
    peer.send(answerFrames(1), answerFrames(3), resetFrame(3, 0), answerFrames(5));
    await peer.until(() => calls[2].ends.length > 0, "end");
    await peer.taken();
    expect(calls.map(({ stream }) => stream.over)).toEqual([true, true, true]);
    expect([peer.resets(1), peer.resets(3), peer.resets(5)]).toEqual([[ErrorCode.cancel], [], []]);
    const ends = peer.frames.filter(({ type, flags }) => type === FrameType.data && flags === Flag.endStream);
    expect(ends.map(({ streamId }) => streamId)).toEqual([3, 5]);
  });

  it("comes once from our side, too: nothing is sent behind the last", async () => {
    await using peer = await ScriptedPeer.start([[Setting.initialWindowSize, 3]]);
    const call = await peer.open();
    call.stream.send(Buffer.from("long"), true);
    call.stream.send(Buffer.from("more"), true);
    peer.send(windowFrame(1, 100));
    await peer.taken();
    call.stream.send(Buffer.from("more"), true);
    await peer.taken();
    expect(peer.dataBytes()).toBe(4);
  });
});

describe("the end of a session", () => {
  it.each([
    ["the server closes it", (peer: ScriptedPeer) => void peer.socket.end()],
    ["the server resets it", (peer: ScriptedPeer) => void peer.socket.resetAndDestroy()],
    ["it is destroyed here", (peer: ScriptedPeer) => peer.session.destroy()],
    ["its socket breaks", (peer: ScriptedPeer) => void peer.clientSocket.destroy(new Error("broken"))],
  ])("ends every request once: %s", async (_, end) => {
    await using peer = await ScriptedPeer.start([[Setting.maxConcurrentStreams, 2]]);
    const open = [await peer.open(), await peer.open()];
    const waiting = new Recorder().begin(peer.session);
    end(peer);
    await peer.until(() => peer.told.includes("destroyed"), "end of the session");
    peer.session.destroy();
    peer.session.close();
    expect(open.map(({ ends }) => ends.length)).toEqual([1, 1]);
    // They may have been read: only of the third one it is certain that it was not.
    for (const { error } of open) expect(error).not.toMatchObject({ code: ErrorCode.refusedStream });
    expect(waiting.error).toMatchObject({ code: ErrorCode.refusedStream });
    await peer.until(() => peer.ended, "end of the connection");
    expect([peer.told, peer.streamIds()]).toEqual([["destroyed"], [1, 3]]);
    expect(() => new Recorder().begin(peer.session)).toThrow("no more requests");
  });

  it("hears the reason it is given", async () => {
    await using peer = await ScriptedPeer.start();
    const call = await peer.open();
    const reason = new Error("why");
    peer.session.destroy(reason);
    expect(call.ends).toEqual([]);
    await peer.until(() => call.ends.length > 0, "end");
    expect(call.ends).toEqual([reason]);
  });

  it("comes behind what the same turn sent", async () => {
    await using peer = await ScriptedPeer.start();
    const call = new Recorder().begin(peer.session);
    call.stream.send(Buffer.from("x".repeat(5000)), true);
    peer.session.destroy();
    peer.session.ping(() => undefined);
    await peer.until(() => peer.ended, "end of the connection");
    expect([peer.streamIds(), peer.dataBytes(1), peer.goodbyes()]).toEqual([[1], 5000, [ErrorCode.noError]]);
    expect(peer.frames.at(-1)?.type).toBe(FrameType.goaway);
  });

  it("waits for the requests that are open when it is closed, and starts none that waits", async () => {
    await using peer = await ScriptedPeer.start([[Setting.maxConcurrentStreams, 1]]);
    const open = await peer.open();
    const waiting = new Recorder().begin(peer.session);
    peer.session.close();
    expect(waiting.error).toMatchObject({ code: ErrorCode.refusedStream });
    open.stream.send(EMPTY, true);
    await peer.taken();
    expect(peer.session.destroyed).toBe(false);
    peer.send(answerFrames(1));
    await peer.until(() => peer.ended, "end of the connection");
    expect([open.ends, peer.streamIds(), peer.told]).toEqual([[undefined], [1], ["destroyed"]]);
  });

  it("comes at once when it is closed with nothing open", async () => {
    await using peer = await ScriptedPeer.start();
    peer.session.close();
    await peer.until(() => peer.ended, "end of the connection");
    expect(peer.told).toEqual(["destroyed"]);
  });

  it("comes when the numbers of requests have run out, and the last one has ended", async () => {
    await using peer = await ScriptedPeer.start([], { firstId: 2 ** 31 - 3 });
    const calls = [await peer.open(), await peer.open()];
    expect(peer.told).toEqual(["closed"]);
    expect(() => new Recorder().begin(peer.session)).toThrow("no more requests");
    expect(peer.streamIds()).toEqual([2 ** 31 - 3, 2 ** 31 - 1]);
    for (const { stream } of calls) {
      stream.send(EMPTY, true);
      peer.send(answerFrames(stream.id));
    }
    await peer.until(() => peer.ended, "end of the connection");
    expect(calls.map(({ ends }) => ends)).toEqual([[undefined], [undefined]]);
  });

  it("is told of the rest when one of them throws", async () => {
    await using peer = await ScriptedPeer.start();
    const thrower = await peer.open();
    const other = await peer.open();
    const boom = new Error("boom");
    thrower.act = () => {
      throw boom;
    };
    const bytes = Buffer.concat([answerFrames(1), answerFrames(3)]);
    expect(() => peer.clientSocket.emit("data", bytes)).toThrow(boom);
    thrower.act = () => undefined;
    await peer.until(() => peer.ended, "end of the connection");
    expect([thrower.ends.length, other.ends.length]).toEqual([1, 1]);
    expect(peer.goodbyes()).toEqual([ErrorCode.internalError]);
  });
});

describe("a listener", () => {
  const events = ["headers", "data", "end"] as const;
  type Act = (peer: ScriptedPeer, self: Recorder, other: Recorder) => void;
  const acts: Readonly<Record<string, Act>> = {
    "resets its own request": (_, self) => self.stream.reset(ErrorCode.cancel),
    "resets another one": (_peer, _self, other) => other.stream.reset(ErrorCode.cancel),
    "destroys the session": (peer) => peer.session.destroy(),
    "destroys it twice, for a reason": (peer) => {
      peer.session.destroy(new Error("first"));
      peer.session.destroy(new Error("second"));
    },
    "closes the session": (peer) => peer.session.close(),
    "begins a request": (peer) => void (peer.session.closed || new Recorder().begin(peer.session)),
    "sends on": (_, self) => self.stream.send(Buffer.from("more"), false),
    "ends its side": (_, self) => self.stream.finish(),
    "ends its side and closes the session": (peer, self, other) => {
      self.stream.finish();
      other.stream.finish();
      peer.session.close();
    },
    "pauses and resumes": (_, self) => {
      self.stream.pause();
      self.stream.resume();
    },
  };

  // All in one chunk, so that what follows stands there already.
  it.each(Object.keys(acts).flatMap((name) => events.map((event) => [name, event] as const)))(
    "that %s at its %s leaves nothing half done",
    async (name, event) => {
      await using peer = await ScriptedPeer.start();
      const self = await peer.open();
      const other = await peer.open();
      let acted = false;
      self.act = (told) => {
        if (told !== event || acted) return;
        acted = true;
        acts[name]?.(peer, self, other);
      };
      peer.send(answerFrames(1), answerFrames(3));
      await peer.until(() => acted, "act");
      if (!peer.session.destroyed) await peer.taken().catch(() => undefined);
      peer.socket.end();
      await peer.until(() => peer.told.includes("destroyed"), "end of the session");
      expect([self.late, other.late]).toEqual([0, 0]);
      // What stands behind it in the same chunk is not read any more.
      expect(other.headers.length === 0 || !name.startsWith("destroys")).toBe(true);
      const isReset = name.startsWith("resets its own") && event !== "end";
      expect(self.ends).toHaveLength(isReset ? 0 : 1);
      expect(other.ends).toHaveLength(name.startsWith("resets another") ? 0 : 1);
      expect(peer.told).toEqual(["destroyed"]);
    },
  );

  it("of a goodbye hears each, until it is taken off", async () => {
    await using peer = await ScriptedPeer.start();
    await peer.open();
    const heard = vi.fn<() => void>();
    const off = peer.session.onGoaway(heard);
    peer.send(goawayFrame(2 ** 31 - 1, 0));
    await peer.taken();
    off();
    peer.send(goawayFrame(1, 0));
    await peer.taken();
    expect(heard).toHaveBeenCalledTimes(1);
  });

  it("of a ping is called when it is answered, in order", async () => {
    await using peer = await ScriptedPeer.start();
    const answered: number[] = [];
    peer.session.ping(() => answered.push(1));
    peer.session.ping(() => answered.push(2));
    await peer.taken();
    expect(answered).toEqual([]);
    peer.send(numberFrame(FrameType.priority, 1, 0), frameBytes(FrameType.ping, Flag.ack, 0, Buffer.alloc(8)));
    await peer.until(() => answered.length > 0, "answer");
    expect(answered).toEqual([1]);
  });
});
