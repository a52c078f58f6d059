import { expect, it } from "vitest";
import { spawnNode, tenureBin } from "../support/process.ts";

it("says at its start that it is the embedded etcd, one process, and listens on loopback alone", async () => {
  await using dev = spawnNode([tenureBin, "dev", "--listen=127.0.0.1:0"]);
  expect(await dev.line(/./)).toMatch(/^etcd v3 API on http:\/\/127\.0\.0\.1:\d+ .*embedded, one process/);
});
