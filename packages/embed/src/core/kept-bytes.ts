/** Above so many bytes a value gets memory of its own. */
const MAX_SHARED_BYTES = 1024;
const SLAB_BYTES = 4096;

let slab = new Uint8Array(SLAB_BYTES);
let used = 0;

/**
 * A copy of bytes to be kept for long: what they come from may be a window on a much larger buffer, which they would
 * hold in memory. Memory of its own costs some hundred bytes beside them, so small ones share a few kilobytes.
 */
export function keptBytes(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { byteLength } = bytes;
  if (byteLength > MAX_SHARED_BYTES) return new Uint8Array(bytes);
  if (used + byteLength > SLAB_BYTES) {
    slab = new Uint8Array(SLAB_BYTES);
    used = 0;
  }
  const kept = slab.subarray(used, used + byteLength);
  kept.set(bytes);
  used += byteLength;
  return kept;
}
