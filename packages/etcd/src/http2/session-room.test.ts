// Who may send how much, and how many requests there may be at once.
import { describe, expect, it } from "vitest";
import {
  answerFrames,
  dataFrame,
  goawayFrame,
  headersFrame,
  OK,
  Recorder,
  resetFrame,
  ScriptedPeer,
  windowFrame,
} from "../testing/scripted-peer.ts";
import { ErrorCode, Flag, frameBytes, FrameType, Setting, settingsFrame } from "./frames.ts";

const { initialWindowSize, maxConcurrentStreams, maxFrameSize } = Setting;
const WINDOW = 65_535;
/** What our side gives. */
const OURS = 4 * 1024 * 1024;
const LARGEST = 2 ** 31 - 1;
const EMPTY = Buffer.alloc(0);

describe("what is sent", () => {
  it("keeps to the room of its stream, and to that of all streams", async () => {
    await using peer = await ScriptedPeer.start([[initialWindowSize, 50_000]]);
    const calls = [await peer.open(), await peer.open(), await peer.open()];
    for (const { stream } of calls) stream.send(Buffer.alloc(60_000, stream.id), true);
    await peer.taken();
    expect([1, 3, 5].map((id) => peer.dataBytes(id))).toEqual([50_000, WINDOW - 50_000, 0]);
    peer.send(windowFrame(0, 10_000), windowFrame(1, 10_000));
    await peer.taken();
    // The second one waits longest, and the first one has no more room from all than is there.
    expect(peer.dataBytes()).toBe(WINDOW + 10_000);
    expect(peer.dataBytes(3)).toBe(WINDOW - 40_000);
    peer.send(windowFrame(0, 200_000), windowFrame(3, 60_000), windowFrame(5, 60_000));
    await peer.taken();
    expect([1, 3, 5].map((id) => peer.dataBytes(id))).toEqual([60_000, 60_000, 60_000]);
    for (const id of [1, 3, 5]) expect(lastFlags(peer, id)).toBe(Flag.endStream);
  });

  it("stops while settings leave a stream less than nothing, and goes on where it stopped", async () => {
    await using peer = await ScriptedPeer.start([[initialWindowSize, 1000]]);
    const call = await peer.open();
    const body = Buffer.from(Array.from({ length: 3000 }, (_, index) => index % 251));
    call.stream.send(body, true);
    await peer.taken();
    expect(peer.dataBytes(1)).toBe(1000);
    await peer.settings([[initialWindowSize, 100]]);
    peer.send(windowFrame(1, 900));
    await peer.taken();
    // 100 - 1000 + 900: nothing yet.
    expect(peer.dataBytes(1)).toBe(1000);
    peer.send(windowFrame(1, 1));
    await peer.taken();
    expect(peer.dataBytes(1)).toBe(1001);
    await peer.settings([[initialWindowSize, 2099]]);
    expect([peer.dataBytes(1), lastFlags(peer, 1)]).toEqual([3000, Flag.endStream]);
    const data = peer.frames.filter(({ type }) => type === FrameType.data).map(({ payload }) => payload);
    expect(Buffer.concat(data).equals(body)).toBe(true);
  });

  it("may be the end alone where there is less room than nothing", async () => {
    await using peer = await ScriptedPeer.start([[initialWindowSize, 10]]);
    const call = await peer.open();
    call.stream.send(Buffer.alloc(10), false);
    await peer.settings([[initialWindowSize, 0]]);
    call.stream.send(EMPTY, true);
    await peer.taken();
    const data = peer.frames.filter(({ type }) => type === FrameType.data);
    expect(data.map(({ payload, flags }) => [payload.byteLength, flags])).toEqual([
      [10, 0],
      [0, Flag.endStream],
    ]);
  });

  it("keeps to room that was given before the settings, and counts from what they say", async () => {
    await using peer = await ScriptedPeer.start("none");
    const call = await peer.open();
    call.stream.send(Buffer.alloc(70_000), true);
    await peer.until(() => peer.dataBytes() === WINDOW, "data");
    peer.send(settingsFrame([[initialWindowSize, WINDOW + 1]]));
    await peer.taken();
    expect(peer.dataBytes()).toBe(WINDOW);
    peer.send(windowFrame(0, 100_000));
    await peer.taken();
    expect(peer.dataBytes()).toBe(WINDOW + 1);
  });

  it("makes use of new settings behind the answer to them: before, the server goes by the old ones", async () => {
    await using peer = await ScriptedPeer.start([
      [initialWindowSize, 10],
      [maxFrameSize, 20_000],
      [maxConcurrentStreams, 1],
    ]);
    const call = await peer.open();
    call.stream.send(Buffer.alloc(20_010), true);
    new Recorder().begin(peer.session);
    await peer.taken();
    const before = peer.frames.length;
    const changed = [
      [initialWindowSize, 30_000],
      [maxFrameSize, 16_384],
      [maxConcurrentStreams, 2],
    ] as const;
    await peer.settings(changed);
    const behind = peer.frames.slice(before).map(({ type }) => type);
    const { settings, data, headers, ping } = FrameType;
    expect(behind).toEqual([settings, data, data, headers, ping]);
    expect(sizes(peer, 1)).toEqual([10, 16_384, 3616]);
  });

  it("comes in frames as large as the server takes, and no larger", async () => {
    await using peer = await ScriptedPeer.start([[initialWindowSize, 200_000]]);
    peer.send(windowFrame(0, 200_000));
    const first = await peer.open();
    first.stream.send(Buffer.alloc(40_000), true);
    await peer.settings([[maxFrameSize, 30_000]]);
    const second = await peer.open();
    second.stream.send(Buffer.alloc(40_000), true);
    await peer.taken();
    expect([sizes(peer, 1), sizes(peer, 3)]).toEqual([
      [16_384, 16_384, 7232],
      [30_000, 10_000],
    ]);
  });

  it("takes no room any more when its stream was reset", async () => {
    await using peer = await ScriptedPeer.start([[initialWindowSize, 100_000]]);
    const calls = [await peer.open(), await peer.open(), await peer.open()] as const;
    for (const { stream } of calls) stream.send(Buffer.alloc(WINDOW), true);
    await peer.taken();
    calls[1].stream.reset(ErrorCode.cancel);
    peer.send(windowFrame(0, WINDOW));
    await peer.taken();
    expect([1, 3, 5].map((id) => peer.dataBytes(id))).toEqual([WINDOW, 0, WINDOW]);
  });

  it("may fill the largest room there can be, and not a byte more is given", async () => {
    await using peer = await ScriptedPeer.start([[initialWindowSize, LARGEST]]);
    const call = await peer.open();
    peer.send(windowFrame(0, LARGEST - WINDOW));
    await peer.taken();
    call.stream.send(Buffer.alloc(500_000), true);
    await peer.until(() => peer.dataBytes() === 500_000, "data");
    peer.send(windowFrame(0, 500_000));
    await peer.taken();
    expect(peer.session.destroyed).toBe(false);
    peer.send(windowFrame(0, 1));
    await peer.until(() => peer.ended, "end of the connection");
    expect(peer.goodbyes()).toEqual([ErrorCode.flowControlError]);
  });

  it("has no more room than there can be: settings that give it end the connection", async () => {
    await using peer = await ScriptedPeer.start([[initialWindowSize, 1000]]);
    const call = await peer.open();
    peer.send(windowFrame(1, LARGEST - 1000), settingsFrame([[initialWindowSize, 1001]]));
    await peer.until(() => peer.ended, "end of the connection");
    expect([call.ends.length, peer.goodbyes()]).toEqual([1, [ErrorCode.flowControlError]]);
  });
});

describe("what arrives", () => {
  const answering = async (peer: ScriptedPeer): Promise<Recorder> => {
    const call = await peer.open();
    peer.send(headersFrame(call.stream.id, OK));
    return call;
  };
  const chunk = Buffer.alloc(16_384);
  const chunks = (streamId: number, count: number): Buffer =>
    Buffer.concat(Array.from({ length: count }, () => dataFrame(streamId, chunk)));
  const whole = OURS / chunk.byteLength;

  it("gets new room in halves, padding included", async () => {
    await using peer = await ScriptedPeer.start();
    const first = peer.room(0);
    expect(first).toBe(OURS - WINDOW);
    await answering(peer);
    peer.send(chunks(1, whole / 2 - 1));
    await peer.taken();
    expect([peer.room(0) - first, peer.room(1)]).toEqual([0, 0]);
    const padded = Buffer.alloc(chunk.byteLength);
    padded[0] = 255;
    peer.send(frameBytes(FrameType.data, Flag.padded, 1, padded));
    await peer.taken();
    expect(peer.room(1)).toBe(OURS / 2);
    peer.send(dataFrame(1, "x"));
    await peer.taken();
    expect(peer.room(0) - first).toBe(OURS / 2 + 1);
  });

  it("gets none on a stream that is paused, and all when it goes on, while others are not held up", async () => {
    await using peer = await ScriptedPeer.start();
    const first = peer.room(0);
    const paused = await answering(peer);
    const other = await answering(peer);
    paused.stream.pause();
    peer.send(chunks(1, whole));
    await peer.until(() => paused.bytes.byteLength === OURS, "data");
    expect(peer.room(1)).toBe(0);
    expect(peer.room(0) - first).toBeGreaterThanOrEqual(OURS / 2);
    peer.send(chunks(3, whole / 2));
    await peer.until(() => other.bytes.byteLength === OURS / 2, "data");
    await peer.taken();
    expect([peer.room(1), peer.room(3)]).toEqual([0, OURS / 2]);
    paused.stream.resume();
    paused.stream.resume();
    await peer.taken();
    expect(peer.room(1)).toBe(OURS);
  });

  it("gets room back from streams that are over: the connection loses none", async () => {
    await using peer = await ScriptedPeer.start();
    const first = peer.room(0);
    for (let round = 0; round < 6; round++) {
      const call = await answering(peer);
      const { id } = call.stream;
      if (round % 2 === 0) call.stream.reset(ErrorCode.cancel);
      else peer.send(resetFrame(id, ErrorCode.cancel));
      await peer.taken();
      peer.send(chunks(id, whole / 4));
      await peer.taken();
      expect(call.bytes.byteLength).toBe(0);
    }
    expect(peer.room(0) - first).toBeGreaterThanOrEqual((6 * OURS) / 4 - OURS / 2);
    expect(peer.session.destroyed).toBe(false);
  });

  it("goes on for as long as it gets room: many times what there is at once", async () => {
    await using peer = await ScriptedPeer.start();
    const call = await answering(peer);
    for (let halves = 1; halves <= 5; halves++) {
      peer.send(chunks(1, whole / 2));
      await peer.until(() => peer.room(1) === (halves * OURS) / 2, "room");
    }
    expect([call.bytes.byteLength, peer.session.destroyed]).toEqual([2.5 * OURS, false]);
  });

  it("may be all that was allowed, and not a byte more: on a stream", async () => {
    await using peer = await ScriptedPeer.start();
    const call = await answering(peer);
    call.stream.pause();
    peer.send(chunks(1, whole));
    await peer.taken();
    expect(peer.session.destroyed).toBe(false);
    peer.send(dataFrame(1, "x"));
    await peer.until(() => call.ends.length > 0, "end");
    await peer.until(() => peer.ended, "end of the connection");
    expect(peer.goodbyes()).toEqual([ErrorCode.flowControlError]);
  });

  it("may come empty as often as it likes, and takes no room", async () => {
    await using peer = await ScriptedPeer.start();
    const first = peer.room(0);
    const call = await answering(peer);
    for (let round = 0; round < 50; round++) peer.send(...Array.from({ length: 1000 }, () => dataFrame(1, EMPTY)));
    peer.send(dataFrame(1, "x", true));
    await peer.until(() => call.ends.length > 0, "end");
    expect([call.bytes.toString(), call.data.length, peer.room(0) - first]).toEqual(["x", 1, 0]);
  });
});

describe("requests", () => {
  it("wait where the server takes no more at once, and begin in order when one ends", async () => {
    await using peer = await ScriptedPeer.start([[maxConcurrentStreams, 2]]);
    const calls = Array.from({ length: 5 }, () => new Recorder().begin(peer.session));
    for (const [index, { stream }] of calls.entries()) stream.send(Buffer.from(`body ${index}`), true);
    await peer.taken();
    expect(peer.streamIds()).toEqual([1, 3]);
    peer.send(answerFrames(3));
    await peer.until(() => peer.streamIds().length === 3, "third request");
    calls[0]?.stream.reset(ErrorCode.cancel);
    await peer.until(() => peer.streamIds().length === 4, "fourth request");
    peer.send(resetFrame(5, ErrorCode.refusedStream));
    await peer.until(() => peer.streamIds().length === 5, "fifth request");
    await peer.taken();
    const bodies = peer.frames.filter(({ type }) => type === FrameType.data).map(({ payload }) => payload.toString());
    expect(bodies).toEqual([0, 1, 2, 3, 4].map((index) => `body ${index}`));
  });

  it("wait for a server that takes none, until it does", async () => {
    await using peer = await ScriptedPeer.start([[maxConcurrentStreams, 0]]);
    const calls = Array.from({ length: 3 }, () => new Recorder().begin(peer.session));
    await peer.taken();
    expect(peer.streamIds()).toEqual([]);
    await peer.settings([[maxConcurrentStreams, 2]]);
    expect(peer.streamIds()).toEqual([1, 3]);
    await peer.settings([[maxConcurrentStreams, 1]]);
    peer.send(answerFrames(1));
    for (const { stream } of calls) stream.finish();
    await peer.taken();
    expect(peer.streamIds()).toEqual([1, 3]);
    peer.send(answerFrames(3));
    await peer.until(() => peer.streamIds().length === 3, "third request");
  });

  it("that wait can be given up, and the server never hears of them", async () => {
    await using peer = await ScriptedPeer.start([[maxConcurrentStreams, 1]]);
    const calls = Array.from({ length: 3 }, () => new Recorder().begin(peer.session));
    calls[1]?.stream.send(Buffer.from("never"), true);
    calls[1]?.stream.reset(ErrorCode.cancel);
    calls[0]?.stream.reset(ErrorCode.cancel);
    await peer.taken();
    expect([peer.streamIds(), peer.dataBytes(), peer.resets(0)]).toEqual([[1, 3], 0, []]);
    expect(calls.map(({ stream }) => stream.id)).toEqual([1, 0, 3]);
  });

  it("are no more than a few before the server has said how many it takes", async () => {
    await using peer = await ScriptedPeer.start("none");
    const calls = Array.from({ length: 250 }, () => new Recorder().begin(peer.session));
    await peer.until(() => peer.streamIds().length >= 8, "requests");
    expect(peer.streamIds()).toHaveLength(8);
    await peer.settings([]);
    expect(peer.streamIds()).toHaveLength(calls.length);
  });
});

describe("a goodbye", () => {
  it("in two steps refuses what came behind the second one's last request, and that alone", async () => {
    await using peer = await ScriptedPeer.start();
    const calls = [await peer.open(), await peer.open()] as const;
    peer.send(goawayFrame(LARGEST, ErrorCode.noError));
    await peer.taken();
    expect([peer.told, peer.session.closed, calls.flatMap(({ ends }) => ends)]).toEqual([["closed"], true, []]);
    peer.send(goawayFrame(1, ErrorCode.noError));
    await peer.taken();
    expect(calls[1].error).toMatchObject({ code: ErrorCode.refusedStream });
    expect([calls[0].ends, peer.session.destroyed]).toEqual([[], false]);
    calls[0].stream.send(EMPTY, true);
    peer.send(answerFrames(1));
    await peer.until(() => peer.ended, "end of the connection");
    expect([calls[0].ends, peer.told.at(-1)]).toEqual([[undefined], "destroyed"]);
  });

  it("refuses what waits for room, and ends a connection on which nothing is open", async () => {
    await using peer = await ScriptedPeer.start([[maxConcurrentStreams, 0]]);
    const waiting = new Recorder().begin(peer.session);
    peer.send(goawayFrame(LARGEST, ErrorCode.noError));
    await peer.until(() => peer.ended, "end of the connection");
    expect(waiting.error).toMatchObject({ code: ErrorCode.refusedStream });
    expect(peer.streamIds()).toEqual([]);
  });

  it.each([0, 1, 3, LARGEST])("for a fault ends all, whatever its last request: %d", async (lastId) => {
    await using peer = await ScriptedPeer.start();
    const calls = [await peer.open(), await peer.open()] as const;
    peer.send(goawayFrame(lastId, ErrorCode.enhanceYourCalm));
    await peer.until(() => peer.ended, "end of the connection");
    for (const { error } of calls) expect(error).toMatchObject({ code: ErrorCode.enhanceYourCalm });
    expect(peer.goodbyes()).toEqual([ErrorCode.noError]);
  });

  it("that is a refusal by its code does not say that nothing was read", async () => {
    await using peer = await ScriptedPeer.start();
    const call = await peer.open();
    peer.send(goawayFrame(1, ErrorCode.refusedStream));
    await peer.until(() => call.ends.length > 0, "end");
    expect(call.error).not.toMatchObject({ code: ErrorCode.refusedStream });
    expect(call.error.message).toContain("REFUSED_STREAM");
  });
});

describe("a server that wants answers", () => {
  const ping = frameBytes(FrameType.ping, 0, 0, Buffer.alloc(8));

  it.each([
    ["pings", ping],
    ["settings", settingsFrame([[initialWindowSize, 1000]])],
  ])("and does not read them loses the connection: %s", async (_, frame) => {
    await using peer = await ScriptedPeer.start();
    const call = await peer.open();
    peer.socket.pause();
    const flood = Buffer.concat(Array.from({ length: 2000 }, () => frame));
    peer.clientSocket.once("close", () => peer.socket.resume());
    const more = (): void => void (peer.session.destroyed || peer.socket.write(flood, more));
    more();
    await peer.until(() => call.ends.length > 0, "end");
    expect(call.error.message).toContain("does not read them");
  });

  it("and reads them may ask as often as it likes", async () => {
    await using peer = await ScriptedPeer.start();
    const burst = Buffer.concat(Array.from({ length: 3000 }, () => ping));
    for (let round = 0; round < 10; round++) {
      peer.send(burst);
      await peer.taken();
    }
    expect(peer.session.destroyed).toBe(false);
  });
});

function lastFlags(peer: ScriptedPeer, streamId: number): number | undefined {
  return peer.frames.findLast((frame) => frame.type === FrameType.data && frame.streamId === streamId)?.flags;
}

function sizes(peer: ScriptedPeer, streamId: number): number[] {
  return peer.frames
    .filter((frame) => frame.type === FrameType.data && frame.streamId === streamId)
    .map(({ payload }) => payload.byteLength);
}
