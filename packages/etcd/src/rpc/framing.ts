import { GrpcError, GrpcStatus } from "./status.ts";

/** One byte of flags and four bytes of length stand before each gRPC message. */
const PREFIX_BYTES = 5;
const COMPRESSED = 1;

/** Wraps one message in a gRPC frame (uncompressed). */
export function frame(message: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(PREFIX_BYTES + message.byteLength);
  framed.writeUInt8(0, 0);
  framed.writeUInt32BE(message.byteLength, 1);
  framed.set(message, PREFIX_BYTES);
  return framed;
}

/**
 * Cuts a byte stream into gRPC messages.
 *
 * Throws `resource_exhausted` for a message above `maxMessageBytes` as soon as its length is known, before its body is
 * kept, and `unimplemented` for a compressed one, because we never offer a compression.
 */
export class FrameReader {
  readonly #maxMessageBytes: number;
  #chunks: Uint8Array[] = [];
  #bytes = 0;

  constructor(maxMessageBytes: number) {
    this.#maxMessageBytes = maxMessageBytes;
  }

  /**
   * Takes the next bytes of the stream and hands over the messages that are complete, in order, each when it is asked
   * for: those before a bad frame come before its error, however the stream was cut into chunks.
   */
  push(chunk: Uint8Array): Iterable<Uint8Array> {
    // Nearly every chunk is one whole message.
    if (this.#bytes === 0 && isOneFrame(chunk, this.#maxMessageBytes)) return [chunk.subarray(PREFIX_BYTES)];
    this.#chunks.push(chunk);
    this.#bytes += chunk.byteLength;
    return this.#messages();
  }

  /** Throws when the stream ended inside a message. */
  end(): void {
    if (this.#bytes > 0) throw new GrpcError(GrpcStatus.dataLoss, "the stream ended inside a message");
  }

  *#messages(): Generator<Uint8Array, void, undefined> {
    for (;;) {
      const length = this.#peekLength();
      if (length === undefined || this.#bytes < PREFIX_BYTES + length) return;
      yield this.#take(PREFIX_BYTES + length).subarray(PREFIX_BYTES);
    }
  }

  #peekLength(): number | undefined {
    if (this.#bytes < PREFIX_BYTES) return undefined;
    const prefix = this.#head(PREFIX_BYTES);
    const flags = prefix.readUInt8(0);
    if (flags === COMPRESSED) {
      throw new GrpcError(GrpcStatus.unimplemented, "compressed messages are not supported");
    }
    if (flags !== 0) throw new GrpcError(GrpcStatus.internal, `unknown frame flags ${flags}`);
    const length = prefix.readUInt32BE(1);
    if (length > this.#maxMessageBytes) {
      throw new GrpcError(
        GrpcStatus.resourceExhausted,
        // In the words of grpc-go, which etcd's clients know.
        `grpc: received message larger than max (${length} vs. ${this.#maxMessageBytes})`,
      );
    }
    return length;
  }

  /** Makes the first chunk hold at least `bytes` bytes. */
  #head(bytes: number): Buffer {
    const first = this.#chunks[0];
    if (first === undefined || first.byteLength < bytes) {
      this.#chunks = [Buffer.concat(this.#chunks)];
    }
    const head = this.#chunks[0] ?? Buffer.alloc(0);
    return Buffer.from(head.buffer, head.byteOffset, head.byteLength);
  }

  #take(bytes: number): Uint8Array {
    const head = this.#head(bytes);
    const taken = head.subarray(0, bytes);
    const rest = head.subarray(bytes);
    if (rest.byteLength > 0) this.#chunks[0] = rest;
    else this.#chunks.shift();
    this.#bytes -= bytes;
    return taken;
  }
}

/** Whether a chunk is one uncompressed message with its frame, and nothing more. */
function isOneFrame(chunk: Uint8Array, maxMessageBytes: number): boolean {
  const bytes = chunk.byteLength - PREFIX_BYTES;
  if (bytes < 0 || bytes > maxMessageBytes || chunk[0] !== 0) return false;
  return new DataView(chunk.buffer, chunk.byteOffset).getUint32(1) === bytes;
}
