// A process of its own that gives every call the same answer, to show what node:http2 takes. Prints its endpoint.
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { create, toBinary } from "@bufbuild/protobuf";
import { frame, PutResponseSchema } from "@tenure/etcd/rpc";

process.stdout.write(`${JSON.stringify({ endpoint: await serveFloor() })}\n`);

/** What a put of etcd is answered with, whatever is asked. */
async function serveFloor(): Promise<string> {
  const header = { clusterId: 2n ** 63n - 1n, memberId: 2n ** 63n - 1n, revision: 2n ** 50n, raftTerm: 2n };
  const answer = frame(toBinary(PutResponseSchema, create(PutResponseSchema, { header })));
  const server = createServer();
  server.on("stream", (stream) => {
    stream.resume();
    stream.on("error", () => {});
    stream.on("end", () => {
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      stream.end(answer);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
