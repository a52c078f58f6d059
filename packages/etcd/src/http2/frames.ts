/** Types of frames (RFC 9113, section 6). */
export const FrameType = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

/** Flags of frames; what a bit means depends on the type. */
export const Flag = { ack: 1, endStream: 1, endHeaders: 4, padded: 8, priority: 32 } as const;

/** Settings by their number (section 6.5.2). */
export const Setting = {
  headerTableSize: 1,
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
} as const;

/** Codes of errors (section 7). */
export const ErrorCode = {
  noError: 0,
  protocolError: 1,
  internalError: 2,
  flowControlError: 3,
  settingsTimeout: 4,
  streamClosed: 5,
  frameSizeError: 6,
  refusedStream: 7,
  cancel: 8,
  compressionError: 9,
  connectError: 10,
  enhanceYourCalm: 11,
  inadequateSecurity: 12,
  http11Required: 13,
} as const;

/** What a client says first (section 3.4). */
export const PREFACE: Buffer = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");
/** Length, type, flags and stream stand before each payload. */
export const HEAD_BYTES = 9;
/** The largest payload that needs no agreement; more is of no use to us, and we never ask for it. */
export const DEFAULT_MAX_FRAME_BYTES = 16_384;
/** The window of a stream, and of the connection, until something else is agreed on. */
export const DEFAULT_WINDOW_BYTES = 65_535;
/** No window is larger, and no stream has a higher number. */
export const MAX_31_BITS = 0x7fff_ffff;

/** One frame with its head. */
export function frameBytes(type: number, flags: number, streamId: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + payload.byteLength);
  writeHead(bytes, payload.byteLength, type, flags, streamId);
  bytes.set(payload, HEAD_BYTES);
  return bytes;
}

/** One frame whose payload is a number of 32 bits. */
export function numberFrame(type: number, streamId: number, value: number): Buffer {
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + 4);
  writeHead(bytes, 4, type, 0, streamId);
  bytes.writeUInt32BE(value, HEAD_BYTES);
  return bytes;
}

/** A SETTINGS frame. */
export function settingsFrame(settings: readonly (readonly [id: number, value: number])[]): Buffer {
  const payload = Buffer.allocUnsafe(settings.length * 6);
  for (const [index, [id, value]] of settings.entries()) {
    payload.writeUInt16BE(id, index * 6);
    payload.writeUInt32BE(value, index * 6 + 2);
  }
  return frameBytes(FrameType.settings, 0, 0, payload);
}

function writeHead(bytes: Buffer, length: number, type: number, flags: number, streamId: number): void {
  bytes.writeUIntBE(length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(streamId, 5);
}
