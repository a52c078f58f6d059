import { beforeEach, describe, expect, it } from "vitest";

import { CrashDisk } from "../testing/crash-disk.ts";
import { KeptServer } from "../testing/kept-server.ts";
import { HEADER_BYTES } from "./file-header.ts";

const LOG = "00000001.log";
const CHECKPOINT = "00000001.snap";

let disk: CrashDisk;
/** Sizes of the log after each of three writes, and the states then. */
let sizes: number[];
let states: string[];

beforeEach(async () => {
  disk = new CrashDisk();
  const kept = await KeptServer.start(disk, { smallLogBytes: Infinity });
  sizes = [disk.bytes(LOG).length];
  states = [kept.state];
  for (const value of ["one", "two", "three"]) {
    kept.put("key", value);
    await kept.storage.flush();
    sizes.push(disk.bytes(LOG).length);
    states.push(kept.state);
  }
});

/** The disk as it is with other bytes in one of its files. */
function spoiled(name: string, change: (bytes: Buffer) => Buffer): CrashDisk {
  const copy = disk.copy();
  copy.spoil(name, change(Buffer.from(disk.bytes(name))));
  return copy;
}

function flip(at: number): (bytes: Buffer) => Buffer {
  return (bytes) => {
    bytes[at] = (bytes[at] ?? 0) ^ 0x10;
    return bytes;
  };
}

/** Starts on a disk that cannot be used, and sees that nothing on it changes. Returns what the error says. */
async function refusal(on: CrashDisk): Promise<string> {
  const before = await contentOf(on);
  const error: unknown = await KeptServer.start(on).catch((reason: unknown) => reason);
  expect(await contentOf(on)).toEqual(before);
  return error instanceof Error && "code" in error ? `${String(error.code)} ${error.message}` : "no error";
}

async function contentOf(on: CrashDisk): Promise<unknown> {
  const names = await on.list();
  return names.map((name) => [name, on.bytes(name).toString("hex")]);
}

describe("a write that a crash interrupted", () => {
  it("is cut off at whatever byte it ends, and said so, and all before it is there", async () => {
    const [, , before = 0, end = 0] = sizes;
    for (let size = before; size < end; size += 1) {
      const torn = spoiled(LOG, (bytes) => bytes.subarray(0, size));
      const kept = await KeptServer.start(torn);
      expect(kept.state).toBe(states[2]);
      expect(torn.bytes(LOG).length).toBe(before);
      const cutOff = kept.notices.map(
        (line) => /^\/disk\/00000001\.log: cut off (\d+) bytes of a write/.exec(line)?.[1],
      );
      expect(cutOff).toEqual(size === before ? [] : [String(size - before)]);
    }
  });

  it("is cut off when it is full of zeros, or has the wrong bytes in the middle", async () => {
    const [, , before = 0, end = 0] = sizes;
    for (const change of [
      (bytes: Buffer) => bytes.fill(0, before),
      (bytes: Buffer) => Buffer.concat([bytes.subarray(0, before), Buffer.alloc(10_000)]),
      flip(end - 1),
      flip(before + 9),
    ]) {
      expect((await KeptServer.start(spoiled(LOG, change))).state).toBe(states[2]);
    }
  });

  it("is followed by others, which are there after the next start", async () => {
    const torn = spoiled(LOG, (bytes) => bytes.subarray(0, bytes.length - 1));
    const kept = await KeptServer.start(torn);
    kept.put("key", "four");
    await kept.storage.close();
    expect((await KeptServer.start(torn)).state).toBe(kept.state);
  });
});

describe("a damaged file is refused, by name and place, and nothing is changed", () => {
  it("wherever a byte of a write differs that another follows", async () => {
    const [, from = 0, to = 0] = sizes;
    for (let at = from; at < to; at += 1) {
      expect(await refusal(spoiled(LOG, flip(at)))).toMatch(
        `DATA_DIR_DAMAGED /disk/${LOG} is damaged at byte ${from}: a frame is not what was written; nothing was`,
      );
    }
  });

  it("wherever a byte of a header or a checkpoint differs", async () => {
    for (let at = 0; at < HEADER_BYTES; at += 1) {
      expect(await refusal(spoiled(LOG, flip(at)))).toMatch(`DATA_DIR_DAMAGED /disk/${LOG} is damaged at byte 0`);
    }
    for (let at = 0; at < disk.bytes(CHECKPOINT).length; at += 1) {
      expect(await refusal(spoiled(CHECKPOINT, flip(at)))).toMatch(`DATA_DIR_DAMAGED /disk/${CHECKPOINT} is damaged`);
    }
  });

  it("wherever a header or a checkpoint is cut off", async () => {
    for (let size = 0; size < HEADER_BYTES; size += 1) {
      const cut = spoiled(LOG, (bytes) => bytes.subarray(0, size));
      expect(await refusal(cut)).toMatch(`/disk/${LOG} is damaged at byte ${size}: its header is cut off`);
    }
    for (let size = 0; size < disk.bytes(CHECKPOINT).length; size += 1) {
      const cut = spoiled(CHECKPOINT, (bytes) => bytes.subarray(0, size));
      expect(await refusal(cut)).toMatch(`/disk/${CHECKPOINT} is damaged`);
    }
  });

  it("when a write is missing, twice there, or in another order", async () => {
    const [start = 0, one = 0, two = 0] = sizes;
    const without = (bytes: Buffer): Buffer => Buffer.concat([bytes.subarray(0, start), bytes.subarray(one)]);
    const withoutMiddle = (bytes: Buffer): Buffer => Buffer.concat([bytes.subarray(0, one), bytes.subarray(two)]);
    const twice = (bytes: Buffer): Buffer => Buffer.concat([bytes.subarray(0, one), bytes.subarray(start)]);
    for (const change of [without, withoutMiddle, twice]) {
      expect(await refusal(spoiled(LOG, change))).toMatch(`/disk/${LOG} is damaged`);
    }
  });

  it("after a clean end wherever it is damaged", async () => {
    const clean = new CrashDisk();
    const kept = await KeptServer.start(clean);
    kept.put("key", "value");
    await kept.storage.close();
    const { length } = clean.bytes(LOG);
    // The last frame says that the log was ended; without that, what is before it may be an interrupted write.
    for (let at = HEADER_BYTES; at < length - 16; at += 1) {
      const copy = clean.copy();
      copy.spoil(LOG, flip(at)(Buffer.from(clean.bytes(LOG))));
      expect(await refusal(copy)).toMatch("DATA_DIR_DAMAGED");
    }
  });

  it("when one is missing", async () => {
    for (const [name, missing] of [
      [LOG, LOG],
      [CHECKPOINT, CHECKPOINT],
    ] as const) {
      const copy = disk.copy();
      await copy.remove(name);
      expect(await refusal(copy)).toMatch(`DATA_DIR_DAMAGED /disk/${missing} is missing`);
    }
  });

  it("when one is of another store", async () => {
    const other = new CrashDisk();
    await KeptServer.start(other, { seed: 2 });
    expect(await refusal(spoiled(LOG, () => other.bytes(LOG)))).toMatch(
      `/disk/${LOG} is damaged at byte 0: it belongs`,
    );
  });
});

describe("a directory", () => {
  it("that a newer version wrote is refused", async () => {
    const { crc32 } = await import("node:zlib");
    const newer = spoiled(LOG, (bytes) => {
      bytes.writeUInt32LE(2, 8);
      bytes.writeUInt32LE(crc32(bytes.subarray(0, HEADER_BYTES - 4)), HEADER_BYTES - 4);
      return bytes;
    });
    expect(await refusal(newer)).toMatch(`DATA_DIR_TOO_NEW /disk/${LOG} has format 2`);
  });

  it("that holds something else is refused", async () => {
    const foreign = new CrashDisk();
    await foreign.create("notes.txt");
    expect(await refusal(foreign)).toMatch(
      "DATA_DIR_UNUSABLE /disk is no data directory of this server: it holds notes",
    );
  });
});

describe("a checkpoint", () => {
  it("takes the place of the log, at whatever call the machine goes down meanwhile", async () => {
    const full = disk.copy();
    const filled = await KeptServer.start(full, { smallLogBytes: Infinity });
    for (let revision = 0; revision < 50; revision += 1) filled.put("key", String(revision));
    filled.compact(filled.revision);
    await filled.storage.close();
    let generations = new Set<string>();
    let calls = 0;
    for (let isDone = false; !isDone; calls += 1) {
      const crashing = full.copy();
      const kept = await KeptServer.start(crashing, { smallLogBytes: 100 });
      crashing.callsLeft = calls;
      kept.put("key", "last");
      const closed = kept.storage.flush().then(async () => await kept.storage.close());
      isDone = await Promise.race([closed.then(() => true), crashing.down.then(() => false)]);
      const again = new CrashDisk([new Map()]);
      for (const name of await listOf(crashing)) {
        await again.create(name);
        again.spoil(name, crashing.bytes(name));
      }
      const restarted = await KeptServer.start(again);
      expect([filled.state, kept.state]).toContain(restarted.state);
      generations = new Set([...generations, ...(await again.list())]);
    }
    expect(calls).toBeGreaterThan(10);
    expect([...generations]).toEqual(expect.arrayContaining([LOG, CHECKPOINT, "00000002.log", "00000002.snap"]));
  });

  it("is whole when the server has ended that began it with its last write", async () => {
    const kept = await KeptServer.start(disk, { smallLogBytes: 100 });
    kept.put("key", "x".repeat(100));
    for (let key = 0; key < 2000; key += 1) kept.put(`key ${key}`, "x".repeat(1000));
    await kept.storage.close();
    expect((await disk.list()).toSorted()).toEqual(["00000002.log", "00000002.snap"]);
  });

  it("has records of a limited size, whatever the size of the values", async () => {
    const kept = await KeptServer.start(disk, { smallLogBytes: Infinity });
    for (let key = 0; key < 10; key += 1) kept.put(`key ${key}`, "x".repeat(100_000));
    kept.put("last", "");
    kept.compact(kept.revision);
    const keys: number[] = [];
    for (const record of kept.server.checkpoint().records) if (record.kind === "base") keys.push(record.changes.length);
    // The first has a short value besides.
    expect(keys).toEqual([4, 3, 3, 1]);
  });

  it("gives space back after a compaction", async () => {
    const kept = await KeptServer.start(disk, { smallLogBytes: 1000 });
    for (let revision = 0; revision < 200; revision += 1) kept.put("key", "x".repeat(100));
    await kept.storage.flush();
    kept.compact(kept.revision);
    await kept.storage.close();
    const names = await disk.list();
    const bytes = names.reduce((sum, name) => sum + disk.bytes(name).length, 0);
    expect(bytes).toBeLessThan(1500);
    expect((await KeptServer.start(disk)).state).toBe(kept.state);
  });
});

describe("a disk that fails", () => {
  it("ends the service: nothing is acknowledged from then on, and what was is there", async () => {
    for (let calls = 0; calls < 2; calls += 1) {
      const failing = disk.copy();
      const kept = await KeptServer.start(failing);
      failing.failure = { afterCalls: calls, code: "ENOSPC" };
      const answers: string[] = [];
      kept.put("key", "lost");
      kept.storage.gate.hold(() => answers.push("put"));
      const error = await kept.failed;
      expect(error).toMatchObject({ code: "DATA_DIR_FAILED", message: expect.stringContaining("ENOSPC") });
      kept.storage.gate.hold(() => answers.push("read"));
      expect([kept.storage.gate.isOpen, answers]).toEqual([false, []]);
      failing.failure = undefined;
      await kept.storage.close();
      expect(states.concat(kept.state)).toContain((await KeptServer.start(failing)).state);
    }
  });

  it("for a checkpoint only is said so, and the log goes on", async () => {
    const failing = disk.copy();
    const kept = await KeptServer.start(failing, { smallLogBytes: 100 });
    kept.put("key", "x");
    await kept.storage.flush();
    // The log was written and its end, and the next one begun; what fails now is the checkpoint.
    failing.failure = { afterCalls: 10, code: "ENOSPC", mayRemove: true };
    await expect.poll(() => kept.notices).toEqual([expect.stringContaining("no checkpoint could be written")]);
    expect(await listOf(failing)).toEqual(expect.not.arrayContaining([expect.stringContaining(".tmp")]));
    failing.failure = undefined;
    kept.put("key", "y");
    await kept.storage.close();
    expect((await KeptServer.start(failing)).state).toBe(kept.state);
  });
});

it("a new log that cannot be made leaves the old one in use", async () => {
  const failing = disk.copy();
  const kept = await KeptServer.start(failing, { smallLogBytes: 100 });
  kept.put("key", "x");
  await kept.storage.flush();
  failing.failure = { afterCalls: 0, code: "EMFILE", mayRemove: true };
  await expect.poll(() => kept.notices).toEqual([expect.stringContaining("EMFILE")]);
  failing.failure = undefined;
  kept.put("key", "y".repeat(1000));
  await kept.storage.flush();
  await expect.poll(async () => await listOf(failing)).toContain("00000002.snap");
  await kept.storage.close();
  expect((await KeptServer.start(failing)).state).toBe(kept.state);
});

/** The names on a disk that is down. */
async function listOf(down: CrashDisk): Promise<readonly string[]> {
  return await down.copy().list();
}
