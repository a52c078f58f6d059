import { ErrorCode, Flag } from "./frames.ts";
import { Http2Error } from "./http2-error.ts";

/** What breaks a rule of HTTP/2. */
export function protocolError(message: string): Http2Error {
  return new Http2Error(ErrorCode.protocolError, message);
}

/** @throws Http2Error for a frame whose type has another size */
export function assertSize(payload: Buffer, bytes: number): void {
  if (payload.byteLength !== bytes) throw new Http2Error(ErrorCode.frameSizeError, "a frame is not of its size");
}

/** @throws Http2Error for a frame on a stream that cannot be on one */
export function assertOfConnection(streamId: number): void {
  if (streamId !== 0) throw protocolError("what concerns the connection came on a stream");
}

/**
 * What a frame carries, without its padding.
 *
 * @throws Http2Error when there is more padding than frame
 */
export function unpadded(flags: number, payload: Buffer): Buffer {
  if ((flags & Flag.padded) === 0) return payload;
  const padding = payload[0] ?? payload.byteLength;
  if (padding >= payload.byteLength) throw protocolError("a frame is nothing but padding");
  return payload.subarray(1, payload.byteLength - padding);
}
