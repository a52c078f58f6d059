import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FrameReader, frame } from "./framing.ts";
import { GrpcError, GrpcStatus } from "./status.ts";

const LIMIT_BYTES = 1000;

/** The bytes of one frame with any flags, and any length in its prefix. */
function rawFrame(flags: number, length: number, body: Uint8Array = new Uint8Array()): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt8(flags, 0);
  prefix.writeUInt32BE(length, 1);
  return Buffer.concat([prefix, body]);
}

/** The messages that a reader hands over for one chunk. */
function read(reader: FrameReader, chunk: Uint8Array): Uint8Array[] {
  return [...reader.push(chunk)];
}

/** Cuts bytes at the given places. */
function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const borders = [0, ...places.map((place) => place % (bytes.byteLength + 1)).toSorted((a, b) => a - b)];
  return borders.map((from, index) => bytes.subarray(from, borders[index + 1] ?? bytes.byteLength));
}

function errorOf(action: () => void): GrpcError {
  try {
    action();
  } catch (error) {
    if (error instanceof GrpcError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("frames", () => {
  it("are five bytes of prefix and the message", () => {
    expect([...frame(Uint8Array.of(7, 8))]).toEqual([0, 0, 0, 0, 2, 7, 8]);
    expect([...frame(new Uint8Array())]).toEqual([0, 0, 0, 0, 0]);
  });

  it("give the same messages however the stream is cut into chunks", () => {
    const messages = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 });
    fc.assert(
      fc.property(messages, fc.array(fc.nat(), { maxLength: 30 }), (sent, places) => {
        const reader = new FrameReader(LIMIT_BYTES);
        const stream = Buffer.concat(sent.map((message) => frame(message)));
        const received = cut(stream, places).flatMap((chunk) => read(reader, chunk));
        expect(received.map((message) => [...message])).toEqual(sent.map((message) => [...message]));
        expect(() => reader.end()).not.toThrow();
      }),
    );
  });

  it("are read one byte at a time too", () => {
    const reader = new FrameReader(LIMIT_BYTES);
    const stream = Buffer.concat([frame(Buffer.from("one")), frame(Buffer.alloc(0)), frame(Buffer.from("two"))]);
    const received = [...stream].flatMap((byte) => read(reader, Uint8Array.of(byte)));
    expect(received.map((message) => Buffer.from(message).toString())).toEqual(["one", "", "two"]);
  });

  it("leave messages alone that were handed out before", () => {
    const reader = new FrameReader(LIMIT_BYTES);
    const first = read(
      reader,
      Buffer.concat([frame(Buffer.from("first")), frame(Buffer.from("second")).subarray(0, 7)]),
    );
    read(reader, frame(Buffer.from("second")).subarray(7));
    expect(first.map((message) => Buffer.from(message).toString())).toEqual(["first"]);
  });
});

describe("a reader", () => {
  it("takes a message as large as the limit and refuses one byte more", () => {
    expect(read(new FrameReader(LIMIT_BYTES), frame(Buffer.alloc(LIMIT_BYTES)))).toHaveLength(1);
    const error = errorOf(() => read(new FrameReader(LIMIT_BYTES), frame(Buffer.alloc(LIMIT_BYTES + 1))));
    expect(error.status).toBe(GrpcStatus.resourceExhausted);
    expect(error.message).toContain(`(${LIMIT_BYTES + 1} vs. ${LIMIT_BYTES})`);
  });

  it("refuses a message that is too large as soon as its length is known", () => {
    const reader = new FrameReader(LIMIT_BYTES);
    const prefix = rawFrame(0, 0xffff_ffff);
    expect(read(reader, prefix.subarray(0, 4))).toEqual([]);
    expect(errorOf(() => read(reader, prefix.subarray(4))).status).toBe(GrpcStatus.resourceExhausted);
  });

  it("refuses a compressed message as unimplemented, and other flags as internal", () => {
    expect(errorOf(() => read(new FrameReader(LIMIT_BYTES), rawFrame(1, 0))).status).toBe(GrpcStatus.unimplemented);
    for (const flags of [2, 0x80, 0x81, 0xff]) {
      expect(errorOf(() => read(new FrameReader(LIMIT_BYTES), rawFrame(flags, 0))).status).toBe(GrpcStatus.internal);
    }
  });

  it("hands over the messages before a bad frame, however the stream is cut, and goes on refusing it", () => {
    const stream = Buffer.concat([frame(Buffer.from("one")), frame(Buffer.from("two")), rawFrame(1, 0)]);
    for (let place = 0; place <= stream.byteLength; place++) {
      const reader = new FrameReader(LIMIT_BYTES);
      const received: string[] = [];
      const error = errorOf(() => {
        for (const chunk of cut(stream, [place])) {
          for (const message of reader.push(chunk)) received.push(Buffer.from(message).toString());
        }
      });
      expect([error.status, received]).toEqual([GrpcStatus.unimplemented, ["one", "two"]]);
      expect(errorOf(() => read(reader, frame(Buffer.from("three")))).status).toBe(GrpcStatus.unimplemented);
    }
  });

  it("reports a stream that ends anywhere inside a message", () => {
    const whole = frame(Buffer.from("message"));
    for (let length = 1; length < whole.byteLength; length++) {
      const reader = new FrameReader(LIMIT_BYTES);
      expect(read(reader, whole.subarray(0, length))).toEqual([]);
      expect(errorOf(() => reader.end()).status).toBe(GrpcStatus.dataLoss);
    }
  });

  it("reports a stream that ends inside a message after whole ones", () => {
    const reader = new FrameReader(LIMIT_BYTES);
    const received = read(
      reader,
      Buffer.concat([frame(Buffer.from("whole")), frame(Buffer.from("cut")).subarray(0, 6)]),
    );
    expect(received).toHaveLength(1);
    expect(errorOf(() => reader.end()).status).toBe(GrpcStatus.dataLoss);
  });

  it("takes an end without any message", () => {
    const reader = new FrameReader(LIMIT_BYTES);
    expect(read(reader, new Uint8Array())).toEqual([]);
    expect(() => reader.end()).not.toThrow();
  });
});
