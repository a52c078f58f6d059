import { describe, expect, it } from "vitest";
import {
  answerFrames,
  dataFrame,
  headerBlock,
  headersFrame,
  OK,
  Recorder,
  resetFrame,
  ScriptedPeer,
  TRAILERS,
  windowFrame,
} from "../testing/scripted-peer.ts";
import { ErrorCode, Flag, frameBytes, FrameType, Setting, settingsFrame } from "./frames.ts";
import { Http2Error } from "./http2-error.ts";

const EMPTY = Buffer.alloc(0);
const WHOLE = Flag.endHeaders;

describe("a session", () => {
  it("says what HTTP/2 wants first, and takes nothing else from a server", async () => {
    await using peer = await ScriptedPeer.start();
    expect(peer.frames.slice(0, 2).map(({ type }) => type)).toEqual([FrameType.settings, FrameType.windowUpdate]);
    expect(peer.frames[2]).toMatchObject({ type: FrameType.settings, flags: Flag.ack });
    expect(peer.session).toMatchObject({ spoke: true, closed: false, destroyed: false });
  });

  it("tells a request of its answer: headers, data, trailers, the end", async () => {
    await using peer = await ScriptedPeer.start();
    const order: string[] = [];
    const call = new Recorder();
    call.act = (event) => void order.push(event);
    call.begin(peer.session).stream.send(Buffer.from("body"), true);
    await peer.until(() => peer.dataBytes(1) === 4, "body");
    peer.send(answerFrames(1));
    await peer.until(() => call.ends.length > 0, "end");
    expect(order).toEqual(["headers", "data", "headers", "end"]);
    expect([call.ends, call.bytes.toString(), call.stream.over]).toEqual([[undefined], "answer", true]);
    expect(call.headers[1]?.get("grpc-status")).toBe("0");
  });

  it("goes on when the server ignores what it may ignore", async () => {
    await using peer = await ScriptedPeer.start();
    const call = await peer.open();
    peer.send(
      frameBytes(0x2a, 0xff, 1, Buffer.alloc(100)),
      frameBytes(FrameType.priority, 0, 1, Buffer.alloc(5)),
      settingsFrame([[0x4242, 7]]),
      frameBytes(FrameType.ping, Flag.ack, 0, Buffer.alloc(8)),
      frameBytes(FrameType.settings, Flag.ack, 0, EMPTY),
      headersFrame(1, [[":status", "103"]]),
      // Bits that mean nothing to their type.
      frameBytes(FrameType.headers, WHOLE | 0x50, 1, headerBlock(OK)),
      frameBytes(FrameType.data, Flag.padded, 1, Buffer.from([3, 65, 66, 0, 0, 0])),
      frameBytes(FrameType.headers, WHOLE | Flag.endStream | Flag.padded | Flag.priority, 1, padded(TRAILERS)),
    );
    await peer.until(() => call.ends.length > 0, "end");
    expect([call.ends, call.bytes.toString(), call.headers.length]).toEqual([[undefined], "AB", 2]);
    expect(peer.session.destroyed).toBe(false);
  });

  it("joins headers of many frames", async () => {
    await using peer = await ScriptedPeer.start();
    const call = await peer.open();
    const block = headerBlock([...OK, ["x-long", "v".repeat(500)]]);
    peer.send(frameBytes(FrameType.headers, 0, 1, block.subarray(0, 1)));
    for (let at = 1; at < block.byteLength; at += 100) {
      const flags = at + 100 >= block.byteLength ? Flag.endHeaders : 0;
      peer.send(frameBytes(FrameType.continuation, flags, 1, block.subarray(at, at + 100)));
    }
    await peer.until(() => call.headers.length > 0, "headers");
    expect(call.headers[0]?.get("x-long")).toHaveLength(500);
    peer.send(dataFrame(1, "answer"), headersFrame(1, TRAILERS, true));
    await peer.until(() => call.ends.length > 0, "end");
    expect([call.ends, call.bytes.toString()]).toEqual([[undefined], "answer"]);
  });

  it("cuts long headers of a request into frames", async () => {
    await using peer = await ScriptedPeer.start();
    const call = new Recorder();
    peer.session.request([...OK, ["x-long", "v".repeat(40_000)]], call);
    await peer.until(() => peer.frames.some(({ flags, streamId }) => streamId === 1 && flags === WHOLE), "headers");
    const parts = peer.frames.filter(({ streamId }) => streamId === 1);
    expect(parts.map(({ type, flags }) => [type, flags])).toEqual([
      [FrameType.headers, 0],
      [FrameType.continuation, 0],
      [FrameType.continuation, WHOLE],
    ]);
  });
});

/** A block with two bytes of padding, and a priority. */
function padded(fields: typeof OK): Buffer {
  return Buffer.concat([Buffer.from([2]), Buffer.alloc(5), headerBlock(fields), Buffer.alloc(2)]);
}

describe("a server that breaks the rules", () => {
  const { protocolError, frameSizeError, flowControlError, compressionError, enhanceYourCalm } = ErrorCode;
  const large = headerBlock([...OK, ["x-large", "v".repeat(16_000)]]);
  const bad: Readonly<Record<string, readonly [code: number, ...frames: readonly Buffer[]]>> = {
    "a frame that is too large": [frameSizeError, Buffer.from([0, 0x40, 1, 0, 0, 0, 0, 0, 1])],
    "data before headers": [protocolError, dataFrame(1, "x")],
    "data on no stream": [protocolError, dataFrame(0, "x")],
    "data on a stream that nobody began": [protocolError, dataFrame(3, "x")],
    "data on a stream of its own": [protocolError, dataFrame(2, "x")],
    "headers on no stream": [protocolError, headersFrame(0, OK)],
    "headers on a stream that nobody began": [protocolError, headersFrame(5, OK)],
    "a reset of no stream": [protocolError, resetFrame(0, 0)],
    "a reset of a stream that nobody began": [protocolError, resetFrame(3, 0)],
    "a reset of another size": [frameSizeError, frameBytes(FrameType.rstStream, 0, 1, Buffer.alloc(5))],
    "room for a stream that nobody began": [protocolError, windowFrame(3, 1)],
    "room for nothing": [protocolError, windowFrame(0, 0)],
    "room of another size": [frameSizeError, frameBytes(FrameType.windowUpdate, 0, 0, Buffer.alloc(3))],
    "more room than can be": [flowControlError, windowFrame(0, 2 ** 31 - 1)],
    "data that is all padding": [
      protocolError,
      headersFrame(1, OK),
      frameBytes(FrameType.data, Flag.padded, 1, Buffer.from([3, 0, 0])),
    ],
    "padded data without a byte": [
      protocolError,
      headersFrame(1, OK),
      frameBytes(FrameType.data, Flag.padded, 1, EMPTY),
    ],
    "headers that are all padding": [protocolError, frameBytes(FrameType.headers, WHOLE | Flag.padded, 1, EMPTY)],
    "headers too small for their priority": [
      frameSizeError,
      frameBytes(FrameType.headers, WHOLE | Flag.priority, 1, Buffer.alloc(4)),
    ],
    "headers that cannot be decoded": [
      compressionError,
      frameBytes(FrameType.headers, WHOLE, 1, Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff])),
    ],
    "headers between headers": [
      protocolError,
      frameBytes(FrameType.headers, 0, 1, headerBlock(OK)),
      headersFrame(1, OK),
    ],
    "a ping between headers": [
      protocolError,
      frameBytes(FrameType.headers, 0, 1, headerBlock(OK)),
      frameBytes(FrameType.ping, 0, 0, Buffer.alloc(8)),
    ],
    "an unknown frame between headers": [
      protocolError,
      frameBytes(FrameType.headers, 0, 1, headerBlock(OK)),
      frameBytes(0x2a, 0, 0, EMPTY),
    ],
    "headers that go on elsewhere": [
      protocolError,
      frameBytes(FrameType.headers, 0, 1, headerBlock(OK)),
      frameBytes(FrameType.continuation, WHOLE, 3, EMPTY),
    ],
    "headers that go on without a beginning": [protocolError, frameBytes(FrameType.continuation, WHOLE, 1, EMPTY)],
    "headers of more than 64 KiB": [
      enhanceYourCalm,
      frameBytes(FrameType.headers, 0, 1, large),
      ...Array.from({ length: 5 }, () => frameBytes(FrameType.continuation, 0, 1, large)),
    ],
    "headers without an end": [
      enhanceYourCalm,
      frameBytes(FrameType.headers, 0, 1, headerBlock(OK)),
      ...Array.from({ length: 300 }, () => frameBytes(FrameType.continuation, 0, 1, EMPTY)),
    ],
    "a push": [protocolError, frameBytes(FrameType.pushPromise, WHOLE, 1, Buffer.from([0, 0, 0, 2, 0x88]))],
    "settings on a stream": [protocolError, frameBytes(FrameType.settings, 0, 1, EMPTY)],
    "settings of no whole number": [frameSizeError, frameBytes(FrameType.settings, 0, 0, Buffer.alloc(7))],
    "an answer to settings with settings": [
      frameSizeError,
      frameBytes(FrameType.settings, Flag.ack, 0, Buffer.alloc(6)),
    ],
    "a setting that allows pushes": [protocolError, settingsFrame([[Setting.enablePush, 1]])],
    "a window larger than can be": [flowControlError, settingsFrame([[Setting.initialWindowSize, 2 ** 31]])],
    "frames smaller than can be": [protocolError, settingsFrame([[Setting.maxFrameSize, 16_383]])],
    "frames larger than can be": [protocolError, settingsFrame([[Setting.maxFrameSize, 2 ** 24]])],
    "a ping on a stream": [protocolError, frameBytes(FrameType.ping, 0, 1, Buffer.alloc(8))],
    "a ping of another size": [frameSizeError, frameBytes(FrameType.ping, 0, 0, Buffer.alloc(7))],
    "a goodbye on a stream": [protocolError, frameBytes(FrameType.goaway, 0, 1, Buffer.alloc(8))],
    "a goodbye that is too small": [frameSizeError, frameBytes(FrameType.goaway, 0, 0, Buffer.alloc(7))],
  };

  it.each(Object.entries(bad))("is told why, and every request ends: %s", async (_, [code, ...frames]) => {
    await using peer = await ScriptedPeer.start();
    const call = await peer.open();
    peer.send(...frames);
    await peer.until(() => peer.ended, "end of the connection");
    expect(peer.goodbyes()).toEqual([code]);
    expect(peer.told).toEqual(["destroyed"]);
    // The code is ours: that it asks for calm, say, is not what the server said.
    expect(call.error).not.toBeInstanceOf(Http2Error);
    expect(call.late).toBe(0);
  });

  const stream: Readonly<Record<string, readonly Buffer[]>> = {
    "headers without a status": [headersFrame(1, TRAILERS)],
    "headers with a status that is none": [headersFrame(1, [[":status", "2xx"]])],
    "two statuses": [headersFrame(1, [...OK, ...OK])],
    "another pseudo-header": [headersFrame(1, [...OK, [":path", "/"]])],
    "a name that is none": [headersFrame(1, [...OK, ["X-Upper", "v"]])],
    "information that is the end": [headersFrame(1, [[":status", "100"]], true)],
    "a status twice": [headersFrame(1, OK), headersFrame(1, OK, true)],
    "trailers that are not the end": [headersFrame(1, OK), headersFrame(1, TRAILERS)],
    "room for nothing": [windowFrame(1, 0)],
    "more room than can be": [windowFrame(1, 2 ** 31 - 1)],
  };

  it.each(Object.entries(stream))("loses that stream and no other one: %s", async (_, frames) => {
    await using peer = await ScriptedPeer.start();
    const call = await peer.open();
    const other = await peer.open();
    peer.send(...frames, answerFrames(3));
    await peer.until(() => other.ends.length > 0, "end");
    other.stream.send(EMPTY, true);
    await peer.taken();
    expect(call.error).toBeInstanceOf(Http2Error);
    expect(peer.resets(1)).toHaveLength(1);
    expect([other.ends, peer.goodbyes(), peer.session.destroyed]).toEqual([[undefined], [], false]);
  });

  it.each([
    ["nothing of HTTP/2", Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n")],
    ["frames, but no settings first", frameBytes(FrameType.ping, 0, 0, Buffer.alloc(8))],
    ["an answer to settings first", frameBytes(FrameType.settings, Flag.ack, 0, EMPTY)],
  ])("is told from one that does not speak HTTP/2: %s", async (_, bytes) => {
    await using peer = await ScriptedPeer.start("none");
    const call = await peer.open();
    peer.send(bytes);
    await peer.until(() => call.ends.length > 0, "end");
    expect(call.error.message).toContain("not HTTP/2");
    expect(peer.session.spoke).toBe(false);
  });
});
