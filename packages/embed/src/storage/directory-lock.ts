import { once } from "node:events";
import { mkdtemp, readdir, readlink, rm, symlink } from "node:fs/promises";
import { createConnection, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";

import type { Random } from "@tenure/etcd/runtime";

import { reasonOf, StorageError } from "./storage-error.ts";

/** What a socket's path may be long, everywhere. */
const MAX_SOCKET_PATH_BYTES = 100;
const LOCK = /^lock\.(\d+)$/;
const LOCK_SOCKET = /^(lock|tenure)-[0-9a-f]{12}\.sock$/;
/** Names of the files that the lock needs in the directory. */
export const LOCK_FILE: RegExp = /^lock[.-]/;
/** What says that nobody listens: it was a process that is gone. */
const GONE = new Set(["ECONNREFUSED", "ENOENT"]);

/** Whose a directory is, as its lock says. */
interface Holder {
  readonly pid: string;
  readonly socket: string;
}

/**
 * The right to use a directory, which one process at most has, and which ends with it, however it ends.
 *
 * Who has it listens on a socket: the system closes that with the process, and knows no ids of processes that come
 * again, nor of those in another container. The lock itself is a symbolic link, since that is made as a whole or
 * refused, and its text names the socket. Links are numbered, and the highest is valid: one whose holder is gone is not
 * taken away but outbid, for which there can be one winner only.
 */
export class DirectoryLock {
  readonly #server: Server;
  readonly #path: string;

  private constructor(server: Server, path: string) {
    this.#server = server;
    this.#path = path;
  }

  /**
   * Takes a directory.
   *
   * @throws StorageError naming the process that has it (DATA_DIR_IN_USE), or why there can be no lock
   */
  static async take(directory: string, random: Random): Promise<DirectoryLock> {
    const { server, path } = await listen(directory, random.bits(48).toString(16).padStart(12, "0"));
    try {
      // Inside, it is found wherever the directory is moved to.
      const place = dirname(path) === directory ? basename(path) : path;
      await outbid(directory, `${process.pid} ${place}`);
      return new DirectoryLock(server, path);
    } catch (error) {
      await end(server, path);
      if (error instanceof StorageError) throw error;
      throw cannotLock(directory, error);
    }
  }

  /** Gives the directory back. */
  async release(): Promise<void> {
    await end(this.#server, this.#path);
  }
}

async function outbid(directory: string, text: string): Promise<void> {
  for (;;) {
    const highest = Math.max(0, ...(await numbers(directory)));
    if (highest > 0) await refuseIfHeld(directory, highest);
    const own = highest + 1;
    if (!(await made(join(directory, `lock.${own}`), text))) continue;
    const now = await numbers(directory);
    // Whoever was slow may have made one that others have passed meanwhile.
    if (Math.max(...now) > own) {
      await rm(join(directory, `lock.${own}`), { force: true });
      continue;
    }
    for (const number of now) if (number < own) await removeStale(directory, number);
    return;
  }
}

async function numbers(directory: string): Promise<number[]> {
  const names = await readdir(directory);
  return names.flatMap((name) => LOCK.exec(name)?.[1] ?? []).map(Number);
}

async function made(path: string, text: string): Promise<boolean> {
  try {
    await symlink(text, path);
    return true;
  } catch (error) {
    if (reasonOf(error) === "EEXIST") return false;
    throw error;
  }
}

async function refuseIfHeld(directory: string, number: number): Promise<void> {
  const holder = await holderOf(directory, number);
  if (holder === undefined || !(await isListening(holder.socket))) return;
  const who = `process ${holder.pid} uses it`;
  throw new StorageError("DATA_DIR_IN_USE", `${directory} is in use: ${who}; end that, or take another directory`);
}

/** Who made a link; undefined when it has just gone, or nobody can be meant. */
async function holderOf(directory: string, number: number): Promise<Holder | undefined> {
  try {
    const [, pid, place] = /^(\d+) (.+)$/s.exec(await readlink(join(directory, `lock.${number}`))) ?? [];
    return pid === undefined || place === undefined ? undefined : { pid, socket: resolve(directory, place) };
  } catch (error) {
    if (reasonOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

async function isListening(path: string): Promise<boolean> {
  return await withShortPath(path, async (short) => {
    const socket = createConnection(short);
    try {
      await once(socket, "connect");
      return true;
    } catch (error) {
      // Whatever else it says, somebody is there to be asked.
      return !GONE.has(reasonOf(error));
    } finally {
      socket.destroy();
    }
  });
}

async function removeStale(directory: string, number: number): Promise<void> {
  const holder = await holderOf(directory, number);
  await rm(join(directory, `lock.${number}`), { force: true });
  if (holder !== undefined && LOCK_SOCKET.test(basename(holder.socket))) await rm(holder.socket, { force: true });
}

/** Listens in the directory, or where sockets can be if the file system of that has none. */
async function listen(directory: string, name: string): Promise<{ readonly server: Server; readonly path: string }> {
  let problem: unknown;
  for (const path of [join(directory, `lock-${name}.sock`), join(tmpdir(), `tenure-${name}.sock`)]) {
    const server = createServer((socket) => socket.destroy());
    try {
      await withShortPath(path, async (short) => {
        server.listen(short);
        await once(server, "listening");
      });
      return { server: server.unref(), path };
    } catch (error) {
      problem = error;
    }
  }
  throw cannotLock(directory, problem);
}

/**
 * Calls something with a path to a socket that is not too long. Longer ones are cut off without a word, and lead to no
 * socket or to another: a link with a short name leads to the directory then.
 */
async function withShortPath<T>(path: string, use: (short: string) => Promise<T>): Promise<T> {
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES) return await use(path);
  const work = await mkdtemp(join(tmpdir(), "tenure-"));
  try {
    const link = join(work, "d");
    await symlink(dirname(path), link);
    const short = join(link, basename(path));
    if (Buffer.byteLength(short) > MAX_SOCKET_PATH_BYTES) throw new Error(`${tmpdir()} is too long a path for sockets`);
    return await use(short);
  } finally {
    await rm(work, { recursive: true });
  }
}

async function end(server: Server, path: string): Promise<void> {
  await new Promise((resolve) => server.close(resolve));
  // The system removes the socket by the name that it was made with, which may have been another.
  await rm(path, { force: true });
}

function cannotLock(directory: string, error: unknown): StorageError {
  const message = `${directory} cannot be used: no lock can be made in it: ${reasonOf(error)}`;
  return new StorageError("DATA_DIR_UNUSABLE", message, { cause: error });
}
