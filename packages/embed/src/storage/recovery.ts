import { join } from "node:path";

import type { JournalRecord, StoreIdentity } from "../core/journal.ts";
import { ByteReader } from "./bytes.ts";
import { LOCK_FILE } from "./directory-lock.ts";
import type { Disk } from "./disk.ts";
import { type FileHeader, type FileKind, HEADER_BYTES } from "./file-header.ts";
import { fileName, parseFileName, UNFINISHED } from "./file-names.ts";
import { FrameFile } from "./frame-file.ts";
import { type FileContent, FrameReader } from "./frame-reader.ts";
import { decodeRecord } from "./record-codec.ts";
import { damaged, reasonOf, StorageError } from "./storage-error.ts";

/** The files that make up a store: a checkpoint, and the logs of what was changed since. */
export interface StoreFiles {
  readonly checkpoint: number;
  /** The last log. The first has the number of the checkpoint. */
  readonly lastLog: number;
}

/** Takes back what was kept. */
export type Restore = (record: JournalRecord) => void;

/** A store as it was found. */
export interface Recovered {
  /** The last log, to be written on. */
  readonly log: FrameFile;
  readonly checkpointBytes: number;
  /** Bytes of an unfinished write that were cut off; nobody was told that they are kept. */
  readonly tornBytes: number;
}

/**
 * Finds the files of a store; undefined in a directory that is empty, or where nothing was kept yet.
 *
 * @throws StorageError when one is missing, or the directory holds something else
 */
export async function findFiles(disk: Disk): Promise<StoreFiles | undefined> {
  const names = await disk.list();
  const generations = (kind: FileKind): number[] =>
    names
      .flatMap((name) => parseFileName(name) ?? [])
      .filter((file) => file.kind === kind)
      .map((file) => file.generation);
  const checkpoint = Math.max(0, ...generations("checkpoint"));
  const lastLog = Math.max(0, ...generations("log"));
  if (checkpoint === 0) {
    // The first log is made before the first checkpoint, and written to after it.
    if (lastLog > 1 || (lastLog === 1 && !(await isEmptyLog(disk)))) {
      throw missing(disk, fileName("checkpoint", lastLog));
    }
    if (lastLog === 0) await refuseForeign(disk);
    return undefined;
  }
  const logs = new Set(generations("log"));
  for (let generation = checkpoint; generation <= Math.max(lastLog, checkpoint); generation += 1) {
    if (!logs.has(generation)) throw missing(disk, fileName("log", generation));
  }
  return { checkpoint, lastLog };
}

/** Reads which store it is. */
export async function readIdentity(disk: Disk, { checkpoint }: StoreFiles): Promise<StoreIdentity> {
  return await withFile(disk, "checkpoint", checkpoint, async (reader) => reader.header.identity);
}

/**
 * Reads everything back and opens the last log. Only once all is read, and nothing is damaged, is anything changed: the
 * unfinished write at the end is cut off.
 */
export async function recover(disk: Disk, files: StoreFiles, restore: Restore): Promise<Recovered> {
  const { checkpoint, lastLog } = files;
  const identity = await readIdentity(disk, files);
  const checkpointBytes = await withFile(disk, "checkpoint", checkpoint, async (reader, path) => {
    requireEnd(path, await readRecords(reader, path, restore));
    return reader.size;
  });
  for (let generation = checkpoint; generation < lastLog; generation += 1) {
    await withFile(disk, "log", generation, async (reader, path) => {
      requireSame(path, reader.header, identity);
      requireEnd(path, await readRecords(reader, path, restore));
    });
  }
  return { ...(await openLastLog(disk, lastLog, identity, restore)), checkpointBytes };
}

async function openLastLog(
  disk: Disk,
  generation: number,
  identity: StoreIdentity,
  restore: Restore,
): Promise<Pick<Recovered, "log" | "tornBytes">> {
  const { header, content, size } = await withFile(disk, "log", generation, async (reader, path) => {
    requireSame(path, reader.header, identity);
    const found = await readRecords(reader, path, restore);
    if (found.end.t === "damaged") throw damaged(path, found.offset, "a frame is not what was written");
    return { header: reader.header, content: found, size: reader.size };
  });
  const file = await disk.open(fileName("log", generation));
  if (content.end.t === "torn") await file.truncate(content.offset);
  // What was read may be in the system's memory only, and is about to be shown.
  await file.sync();
  await disk.sync();
  return {
    log: new FrameFile(file, header, { size: content.offset, frames: content.frames }),
    tornBytes: size - content.offset,
  };
}

/** Removes what a store does not need: files from before its checkpoint, and those that were never finished. */
export async function removeLeftovers(disk: Disk, checkpoint: number): Promise<void> {
  for (const name of await disk.list()) {
    const file = parseFileName(name.replace(UNFINISHED, ""));
    if (file === undefined) continue;
    if (name.endsWith(UNFINISHED) || file.generation < checkpoint) await disk.remove(name);
  }
}

async function withFile<T>(
  disk: Disk,
  kind: FileKind,
  generation: number,
  use: (reader: FrameReader, path: string) => Promise<T>,
): Promise<T> {
  const name = fileName(kind, generation);
  const path = join(disk.path, name);
  try {
    const file = await disk.open(name);
    try {
      const reader = await FrameReader.open(file, path);
      const { header } = reader;
      if (header.kind !== kind || header.generation !== generation) throw damaged(path, 0, "it is another file");
      return await use(reader, path);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof StorageError) throw error;
    throw new StorageError("DATA_DIR_UNUSABLE", `${path} cannot be read: ${reasonOf(error)}`, { cause: error });
  }
}

async function readRecords(reader: FrameReader, path: string, restore: Restore): Promise<FileContent> {
  return await reader.read((payload, offset) => {
    const from = new ByteReader(payload);
    try {
      while (!from.isAtEnd) restore(decodeRecord(from));
    } catch (error) {
      throw damaged(path, offset, reasonOf(error));
    }
  });
}

/** A file that another follows was ended on purpose: whatever is missing at its end was there. */
function requireEnd(path: string, { end, offset }: FileContent): void {
  if (end.t === "whole" && end.isEnded) return;
  throw damaged(path, offset, end.t === "damaged" ? "a frame is not what was written" : "its end is missing");
}

function requireSame(path: string, { identity }: FileHeader, { clusterId, memberId }: StoreIdentity): void {
  if (identity.clusterId === clusterId && identity.memberId === memberId) return;
  throw damaged(path, 0, "it belongs to another store");
}

async function isEmptyLog(disk: Disk): Promise<boolean> {
  return await withFile(disk, "log", 1, async (reader) => reader.size <= HEADER_BYTES);
}

/** Throws StorageError when a directory holds something, and that is no store. */
export async function refuseForeign(disk: Disk): Promise<void> {
  const names = await disk.list();
  if (names.some((name) => parseFileName(name) !== undefined)) return;
  const foreign = names.find((name) => !LOCK_FILE.test(name) && !name.endsWith(UNFINISHED) && name !== "lost+found");
  if (foreign === undefined) return;
  const message = `${disk.path} is no data directory of this server: it holds ${foreign}; take an empty directory`;
  throw new StorageError("DATA_DIR_UNUSABLE", message);
}

function missing(disk: Disk, name: string): StorageError {
  const remedy = "nothing was changed: restore the directory from a copy, or start with an empty one";
  return new StorageError("DATA_DIR_DAMAGED", `${join(disk.path, name)} is missing; ${remedy}`);
}
