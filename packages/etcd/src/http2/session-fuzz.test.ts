// Conversations that are right, made wrong in seeded ways: whatever a server sends, every request ends once.
import { describe, expect, it } from "vitest";
import { type Random, seededRandom } from "../runtime/random.ts";
import {
  answerFrames,
  dataFrame,
  goawayFrame,
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

const REQUESTS = 6;
const ROUNDS = 150;

/** All that a server may say, to streams 1 to 11. */
function conversation(random: Random): Buffer[] {
  const long = headerBlock([...OK, ["x-long", "v".repeat(300)]]);
  const padded = Buffer.from([4, 1, 2, 3, 0, 0, 0, 0]);
  return [
    settingsFrame([
      [Setting.initialWindowSize, upTo(random, 100_000)],
      [Setting.maxConcurrentStreams, 1 + upTo(random, 2 * REQUESTS)],
    ]),
    frameBytes(FrameType.settings, Flag.ack, 0, Buffer.alloc(0)),
    headersFrame(1, [[":status", "103"]]),
    answerFrames(1),
    frameBytes(FrameType.ping, 0, 0, Buffer.alloc(8)),
    frameBytes(FrameType.headers, 0, 3, long.subarray(0, 20)),
    frameBytes(FrameType.continuation, 0, 3, long.subarray(20, 200)),
    frameBytes(FrameType.continuation, Flag.endHeaders, 3, long.subarray(200)),
    frameBytes(FrameType.data, Flag.padded, 3, padded),
    windowFrame(0, 1 + upTo(random, 100_000)),
    windowFrame(3, 1 + upTo(random, 100_000)),
    settingsFrame([[Setting.initialWindowSize, upTo(random, 100_000)]]),
    headersFrame(3, TRAILERS, true),
    headersFrame(5, [...OK, ...TRAILERS], true),
    headersFrame(7, OK),
    dataFrame(7, Buffer.alloc(upTo(random, 16_384))),
    resetFrame(7, ErrorCode.cancel),
    headersFrame(9, OK),
    goawayFrame(2 ** 31 - 1, ErrorCode.noError),
    dataFrame(9, "answer", true),
    goawayFrame(9, ErrorCode.noError),
  ];
}

/** One thing done wrong. */
const mutations: readonly ((frames: Buffer[], random: Random) => void)[] = [
  (frames, random) => void frames.splice(upTo(random, frames.length), 1),
  (frames, random) => {
    const at = upTo(random, frames.length);
    frames.splice(at, 0, frames[upTo(random, frames.length)] ?? Buffer.alloc(0));
  },
  (frames, random) => {
    const [frame] = frames.splice(upTo(random, frames.length), 1);
    if (frame !== undefined) frames.splice(upTo(random, frames.length), 0, frame);
  },
  (frames, random) => {
    const at = upTo(random, frames.length);
    const frame = Buffer.from(frames[at] ?? []);
    frames[at] = frame.subarray(0, upTo(random, frame.byteLength));
  },
  // Anything, mostly in the payload; a type, flags, a stream.
  (frames, random) => change(frames, random, (length) => upTo(random, length)),
  (frames, random) => change(frames, random, () => upTo(random, 9)),
  (frames, random) => change(frames, random, () => 3),
  (frames, random) => change(frames, random, () => 4),
  (frames, random) => change(frames, random, () => 8),
  (frames, random) => {
    const noise = Buffer.from(Array.from({ length: upTo(random, 40) }, () => upTo(random, 256)));
    frames.splice(upTo(random, frames.length), 0, noise);
  },
];

function change(frames: Buffer[], random: Random, place: (length: number) => number): void {
  const at = upTo(random, frames.length);
  const frame = Buffer.from(frames[at] ?? []);
  if (frame.byteLength > 0) frame[place(frame.byteLength) % frame.byteLength] = upTo(random, 256);
  frames[at] = frame;
}

function upTo(random: Random, limit: number): number {
  return Math.floor(random.fraction() * limit);
}

/** Pieces in which the bytes arrive. */
function pieces(bytes: Buffer, random: Random): Buffer[] {
  const most = random.fraction() < 0.3 ? 1 : 1 + upTo(random, 500);
  const all: Buffer[] = [];
  for (let at = 0; at < bytes.byteLength;) {
    const size = 1 + upTo(random, most);
    // Each its own memory, as from a socket.
    all.push(Buffer.from(bytes.subarray(at, at + size)));
    at += size;
  }
  return all;
}

/** What a caller may do while it hears something. */
function meddle(peer: ScriptedPeer, calls: readonly Recorder[], random: Random): void {
  const call = calls[upTo(random, calls.length)];
  const acts: readonly (() => void)[] = [
    () => call?.stream.pause(),
    () => call?.stream.resume(),
    // Before the end of a call it would give that up, which is told to nobody.
    () => void (call !== undefined && call.ends.length > 0 && call.stream.finish()),
    () => call?.stream.send(Buffer.alloc(upTo(random, 50_000)), random.fraction() < 0.5),
    () => peer.session.ping(() => undefined),
  ];
  acts[upTo(random, acts.length)]?.();
}

describe("whatever a server sends", () => {
  it.each(Array.from({ length: ROUNDS }, (_, seed) => seed))("every request ends once: seed %d", async (seed) => {
    const random = seededRandom(seed);
    await using peer = await ScriptedPeer.start("none");
    const calls = Array.from({ length: REQUESTS }, () => new Recorder().begin(peer.session));
    for (const call of calls) {
      call.stream.send(Buffer.alloc(upTo(random, 30_000)), random.fraction() < 0.7);
      call.act = () => void (random.fraction() < 0.3 && meddle(peer, calls, random));
    }
    const frames = conversation(random);
    for (let count = upTo(random, 4); count > 0; count--) {
      mutations[upTo(random, mutations.length)]?.(frames, random);
    }
    for (const piece of pieces(Buffer.concat(frames), random)) peer.clientSocket.emit("data", piece);
    // What is not over by now is over with the connection.
    peer.socket.end();
    await peer.until(() => peer.told.includes("destroyed"), "end of the session");
    expect(calls.map(({ ends, late }) => [ends.length, late])).toEqual(calls.map(() => [1, 0]));
    expect(peer.told.filter((what) => what === "destroyed")).toHaveLength(1);
    expect(peer.clientSocket.destroyed).toBe(true);
  });

  it("in pieces of one byte is the same as at once", async () => {
    const outcomes: unknown[] = [];
    for (const size of [1, 2, 7, 100_000]) {
      const random = seededRandom(1);
      await using peer = await ScriptedPeer.start("none");
      const calls = Array.from({ length: REQUESTS }, () => new Recorder().begin(peer.session));
      for (const { stream } of calls) stream.send(Buffer.alloc(10), true);
      const bytes = Buffer.concat(conversation(random));
      for (let at = 0; at < bytes.byteLength; at += size) {
        peer.clientSocket.emit("data", bytes.subarray(at, at + size));
      }
      await peer.until(() => peer.told.includes("destroyed"), "end of the session");
      outcomes.push(
        calls.map(({ headers, bytes: body, ends: [error] }) => [
          headers.map((block) => [...block]),
          body.toString("latin1"),
          error?.message,
        ]),
      );
    }
    const reset = "the server reset the call: CANCEL";
    const refused = "the server takes no more requests on this connection";
    expect(outcomes[0]).toMatchObject([
      [[[[":status", "200"]], [["grpc-status", "0"]]], "answer", undefined],
      [[{ length: 2 }, [["grpc-status", "0"]]], "\u0001\u0002\u0003", undefined],
      [{ length: 1 }, "", undefined],
      [{ length: 1 }, expect.stringMatching(/^\0+$/), reset],
      [{ length: 1 }, "answer", undefined],
      [{ length: 0 }, "", refused],
    ]);
    for (const outcome of outcomes.slice(1)) expect(outcome).toEqual(outcomes[0]);
  });
});
