/**
 * gRPC sends a status message as percent-encoded UTF-8 in a header
 * (gRPC over HTTP/2, "Status-Message").
 */
export function encodeGrpcMessage(message: string): string {
  let encoded = "";
  for (const byte of Buffer.from(message)) {
    const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    encoded += plain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return encoded;
}

/** Undoes {@link encodeGrpcMessage}; text that is not well encoded is returned as it is, never refused. */
export function decodeGrpcMessage(encoded: string): string {
  try {
    return decodeURIComponent(encoded);
  } catch {
    // A server that forgot to encode still has something to say.
    return encoded;
  }
}
