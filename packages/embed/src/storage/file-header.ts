import { crc32 } from "node:zlib";

import type { StoreIdentity } from "../core/journal.ts";
import { ByteReader, ByteWriter } from "./bytes.ts";
import { damaged, StorageError } from "./storage-error.ts";

/** What a file holds: a whole state, or the changes after one. */
export type FileKind = "checkpoint" | "log";

/** How each file begins. */
export interface FileHeader {
  readonly kind: FileKind;
  /** Checkpoint n is the state before log n, which is followed by log n + 1. */
  readonly generation: number;
  /** Random, and in front of each frame: what some other file left on the disk is not taken for one of this. */
  readonly salt: number;
  readonly identity: StoreIdentity;
}

export const HEADER_BYTES = 53;

const MAGIC = Buffer.from("tenure\r\n");
const VERSION = 1;
const CHECKSUM_BYTES = 4;

/** The bytes of a header. */
export function encodeHeader({ kind, generation, salt, identity }: FileHeader): Buffer {
  const to = new ByteWriter();
  for (const byte of MAGIC) to.u8(byte);
  to.u32(VERSION);
  to.u8(kind === "log" ? 1 : 0);
  to.u32(generation);
  to.u32(salt);
  to.u64(identity.clusterId);
  to.u64(identity.memberId);
  to.u53(identity.firstRevision);
  to.u32(0);
  to.u32(crc32(to.bytes));
  return Buffer.from(to.bytes);
}

/**
 * Reads the header at the beginning of a file.
 *
 * @throws StorageError when it is damaged, or of a newer version
 */
export function decodeHeader(bytes: Buffer, path: string): FileHeader {
  if (bytes.length < HEADER_BYTES) throw damaged(path, bytes.length, "its header is cut off");
  const header = bytes.subarray(0, HEADER_BYTES);
  if (!header.subarray(0, MAGIC.length).equals(MAGIC)) throw damaged(path, 0, "its header is not one of this store");
  const from = new ByteReader(header.subarray(MAGIC.length));
  const version = from.u32();
  const checksum = header.readUInt32LE(HEADER_BYTES - CHECKSUM_BYTES);
  if (crc32(header.subarray(0, HEADER_BYTES - CHECKSUM_BYTES)) !== checksum) {
    throw damaged(path, 0, "the checksum of its header is wrong");
  }
  if (version > VERSION) {
    const message = `${path} has format ${version}, and this version reads up to ${VERSION}: use a newer one`;
    throw new StorageError("DATA_DIR_TOO_NEW", message);
  }
  return {
    kind: from.u8() === 1 ? "log" : "checkpoint",
    generation: from.u32(),
    salt: from.u32(),
    identity: { clusterId: from.u64(), memberId: from.u64(), firstRevision: from.u53() },
  };
}
