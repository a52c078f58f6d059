import { once } from "node:events";
import { connect, createServer, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { type AddressInfo, connect as connectTcp, createServer as createTcpServer, type Socket } from "node:net";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { emptySettings, readOpening } from "./authority.ts";

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
/** What etcdctl 3.4 sends after our settings for `endpoint status` of http://127.0.0.1:24380, up to its last byte. */
const ETCDCTL_REQUEST =
  "0000000401000000000000770104000000018386459760a924882d9dcb6571afa066a925a87510ac6e48d36a3f41909d29aee30c044eae" +
  "05c0b86e09a65e075f8b1d75d0620d263d4c4d65647a8b9acac8b4c7602bb2caecff40027465864d833505b11f40899acac8b24d494f6a" +
  "7f8669f7da644fdb408d25062d495875996ee5b1063d5f03332e340000050001000000010000000000";

describe("the first request of a connection", () => {
  it("is waited for, byte by byte, and goes on without the acknowledgement of our settings", async () => {
    const bytes = Buffer.concat([PREFACE, emptySettings(), Buffer.from(ETCDCTL_REQUEST, "hex")]);
    const complete = bytes.length - 14;
    for (let length = 0; length < complete; length++) {
      expect(readOpening(bytes.subarray(0, length), true).t).toBe("partial");
    }
    const opening = readOpening(bytes, true);
    expect(opening.t).toBe("complete");
    expect((await headersOf(opening.t === "complete" ? opening.bytes : bytes))[":authority"]).toBe("127.0.0.1:24380");
  });

  it("goes on without an acknowledgement that has crossed it", async () => {
    const request = Buffer.from(ETCDCTL_REQUEST, "hex");
    const [acknowledgement, rest] = [request.subarray(0, 9), request.subarray(9)];
    const bytes = Buffer.concat([PREFACE, emptySettings(), rest]);
    expect(readOpening(bytes, true).t).toBe("partial");
    const opening = readOpening(Buffer.concat([bytes, acknowledgement]), true);
    expect(opening).toEqual(readOpening(bytes, false));
  });

  it("loses the scheme of its authority, however it is written, and nothing else", async () => {
    const port = fc.integer({ min: 1, max: 65_535 });
    const host = fc.stringMatching(/^[a-z0-9.-]{1,40}$/);
    await fc.assert(
      fc.asyncProperty(host, port, fc.constantFrom("http://", "https://", ""), async (name, number, scheme) => {
        const sent = await requestBytes(`${scheme}${name}:${number}`);
        const opening = readOpening(sent, false);
        expect(opening.t).toBe("complete");
        const headers = await headersOf(opening.t === "complete" ? opening.bytes : sent);
        expect(headers[":authority"]).toBe(`${name}:${number}`);
        expect(headers["x-other"]).toBe("http://stays");
      }),
      { numRuns: 60 },
    );
  });
});

/** The bytes a client opens a connection with. */
async function requestBytes(authority: string): Promise<Buffer> {
  const server = createTcpServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  client.on("error", () => undefined);
  const [socket] = (await once(server, "connection")) as [Socket];
  const request = client.request({ ":authority": authority, ":path": "/", "x-other": "http://stays" });
  request.on("error", () => undefined);
  let bytes = Buffer.alloc(0);
  while (readOpening(bytes, false).t === "partial") {
    const [chunk] = (await once(socket, "data")) as [Buffer];
    bytes = Buffer.concat([bytes, chunk]);
  }
  client.destroy();
  socket.destroy();
  server.close();
  return bytes;
}

/** The headers that Node's server reads from these bytes. */
async function headersOf(bytes: Buffer): Promise<IncomingHttpHeaders> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const socket = connectTcp((server.address() as AddressInfo).port, "127.0.0.1");
  const stream = once(server, "stream") as Promise<[ServerHttp2Stream, IncomingHttpHeaders]>;
  socket.write(bytes);
  const [served, headers] = await stream;
  served.on("error", () => undefined);
  socket.destroy();
  server.close();
  return headers;
}
