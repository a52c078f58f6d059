import { expect, it } from "vitest";

import type { JournalRecord } from "../core/journal.ts";
import { CommitLog } from "./commit-log.ts";
import type { DiskFile } from "./disk.ts";
import { type FileHeader, HEADER_BYTES } from "./file-header.ts";
import { FrameFile } from "./frame-file.ts";

const header: FileHeader = {
  kind: "log",
  generation: 1,
  salt: 4,
  identity: { clusterId: 1n, memberId: 2n, firstRevision: 3 },
};
const grant: JournalRecord = { kind: "grant", id: 1n, ttlSeconds: 10 };

it("writes nothing after a failure, not even for a checkpoint: what came after it would take its place", async () => {
  let writes = 0;
  const failing: DiskFile = {
    size: async () => HEADER_BYTES,
    read: async () => Buffer.alloc(0),
    write: async () => {
      writes += 1;
      log.append(grant);
      if (writes === 1) throw Object.assign(new Error("failed"), { code: "EIO" });
    },
    truncate: async () => {},
    sync: async () => {},
    close: async () => {},
  };
  let fail: (error: unknown) => void = () => {};
  const failed = new Promise((resolve) => (fail = resolve));
  const file = new FrameFile(failing, header, { size: HEADER_BYTES, frames: 0 });
  const log = new CommitLog(file, { fsync: true, onFailure: fail, onWritten: () => {} });
  log.append(grant);
  await failed;
  await turns(1);
  expect(
    await log.rotate(
      () => "state",
      async () => file,
    ),
  ).toBeUndefined();
  await turns(5);
  await log.close();
  expect(writes).toBe(1);
});

/** Lets happen what happens in so many turns of the event loop. */
async function turns(count: number): Promise<void> {
  for (let left = count; left > 0; left -= 1) await new Promise((resolve) => setImmediate(resolve));
}
