// TLS that breaks in the middle says nothing of what the server has read.
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, connect, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { EtcdClient } from "@tenure/etcd";
import { afterAll, beforeAll, expect, it } from "vitest";
import { PREFACE, settingsFrame } from "../../packages/etcd/src/http2/frames.ts";
import { failure } from "../../packages/etcd/src/testing/failure.ts";
import { portOf } from "../../packages/etcd/src/testing/fake-server.ts";
import { createAuthority } from "../support/certificates.ts";
import { Flag, FrameType, takeFrames } from "./frames.ts";

const applicationData = 23;
const recordHeadBytes = 5;

let dir: string;
beforeAll(async () => void (dir = await mkdtemp(join(tmpdir(), "tenure-tls-"))));
afterAll(() => rm(dir, { recursive: true }));

it("leaves open what became of a request that was sent", async () => {
  const authority = await createAuthority(dir, "known");
  const { certFile, keyFile } = await authority.issue("server");
  let requests = 0;
  const options = { cert: await readFile(certFile), key: await readFile(keyFile), ALPNProtocols: ["h2"] };
  // Of TLS 1.2 the records tell what they are.
  const server = createTlsServer({ ...options, maxVersion: "TLSv1.2" }, (socket) => {
    let bytes: Buffer = Buffer.alloc(0);
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      const { frames } = takeFrames(bytes.subarray(PREFACE.byteLength));
      if (requests > 0) return;
      requests = frames.filter(({ type, flags }) => type === FrameType.data && (flags & Flag.endStream) !== 0).length;
      // The first word of the server, sent when it has read the request, does not arrive whole.
      if (requests > 0) socket.write(settingsFrame([]));
    });
  });
  const proxy = createServer((client) => {
    const onward = connect(portOf(server), "127.0.0.1").on("error", () => undefined);
    client.on("error", () => undefined).pipe(onward);
    let bytes: Buffer = Buffer.alloc(0);
    onward.on("data", (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      while (bytes.byteLength >= recordHeadBytes) {
        const end = recordHeadBytes + bytes.readUInt16BE(3);
        if (bytes.byteLength < end) return;
        const record = Buffer.from(bytes.subarray(0, end));
        if (record[0] === applicationData) record.writeUInt8(record.readUInt8(end - 1) ^ 1, end - 1);
        client.write(record);
        bytes = bytes.subarray(end);
      }
    });
  });
  await Promise.all([listening(server), listening(proxy)]);
  const endpoints = [`https://127.0.0.1:${portOf(proxy)}`];
  const client = new EtcdClient({ endpoints, tls: { caFile: authority.caFile } });
  const error = await failure(client.kv.put("k", "v"));
  await client.close();
  for (const each of [server, proxy]) each.close();
  expect(requests).toBe(1);
  expect(error).toMatchObject({ code: "unavailable", mayHaveApplied: true });
  expect(error.message).toContain("TLS failed");
});

async function listening(server: Server): Promise<void> {
  const begun = once(server, "listening");
  server.listen(0, "127.0.0.1");
  await begun;
}
