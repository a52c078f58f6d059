import { once } from "node:events";
import { type AddressInfo, createConnection, createServer } from "node:net";
import { settled } from "../tests/support/until.ts";
import { now } from "./peers/protocol.ts";
import { startDelayedLink } from "./support/delayed.ts";
import { type Question, type Variant } from "./support/stage.ts";

const link: Variant = { name: "the link itself", peer: "floor" };
const messageBytes = 8;
const crowd = 100;
const timeoutMs = 10_000;

/** What the links between the peers and etcd really add. Many messages at once must not wait for one another. */
export const linkItself: Question = {
  name: "link",
  overLinks: true,
  measure: async (stage) => {
    if (stage.rttMs === 0) return;
    const server = createServer({ noDelay: true }, (socket) => {
      socket.on("error", () => undefined);
      socket.pipe(socket);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const delayed = await startDelayedLink(`http://127.0.0.1:${port}`, stage.rttMs);
    const socket = createConnection({ host: "127.0.0.1", port: Number(new URL(delayed.endpoint).port), noDelay: true });
    try {
      await once(socket, "connect");
      const echo = echoes(socket);
      for (let round = 0; round < stage.rounds; round++) {
        stage.record("a message and its echo", link, "ms", [await echo()]);
      }
      const sent: Promise<number>[] = [];
      for (let index = 0; index < crowd; index++) {
        sent.push(echo());
        await new Promise((resolve) => void setTimeout(resolve, 1));
      }
      stage.record("the same, 100 on the way at once", link, "ms", await Promise.all(sent));
    } finally {
      socket.destroy();
      await delayed.stop();
      server.close();
    }
  },
};

/** Sends a message; how long its echo took. */
function echoes(socket: ReturnType<typeof createConnection>): () => Promise<number> {
  const waiting: { readonly sentAt: number; readonly resolve: (tookMs: number) => void }[] = [];
  let bytes = 0;
  socket.on("data", (chunk) => {
    for (bytes += chunk.length; bytes >= messageBytes; bytes -= messageBytes) {
      const first = waiting.shift();
      first?.resolve(now() - first.sentAt);
    }
  });
  return () => {
    const echo = new Promise<number>((resolve) => waiting.push({ sentAt: now(), resolve }));
    socket.write(Buffer.alloc(messageBytes));
    return settled(echo, { what: "echo", timeoutMs });
  };
}
