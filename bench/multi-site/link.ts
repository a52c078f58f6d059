import { once } from "node:events";
import { createConnection, createServer, type AddressInfo } from "node:net";
import { startProxy } from "../../tests/support/proxy.ts";
import { settled } from "../../tests/support/until.ts";
import { now } from "./protocol.ts";

const crowd = 100;
const messageBytes = 8;
const timeoutMs = 30_000;

/** What the links themselves take. */
export interface LinkRoundTrips {
  /** One message at a time. */
  readonly single: readonly number[];
  /** Many, one a millisecond, while those before are on the way: a link must not queue them. */
  readonly crowded: readonly number[];
}

/** Sends messages over a link between two sites to a server that sends them back. */
export async function linkRoundTrips(rttMs: number, rounds: number): Promise<LinkRoundTrips> {
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on("error", () => undefined);
    socket.pipe(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const proxy = await startProxy(`127.0.0.1:${(server.address() as AddressInfo).port}`);
  proxy.delay(rttMs / 2);
  const socket = createConnection({ host: "127.0.0.1", port: Number(proxy.address.split(":")[1]), noDelay: true });
  try {
    await once(socket, "connect");
    const echoes = echoesOf(socket);
    const single: number[] = [];
    for (let round = 0; round < rounds; round++) single.push(await echoes.send());
    const sent: Promise<number>[] = [];
    for (let index = 0; index < crowd; index++) {
      sent.push(echoes.send());
      await new Promise((resolve) => void setTimeout(resolve, 1));
    }
    return { single, crowded: await settled(Promise.all(sent), { what: "echoes", timeoutMs }) };
  } finally {
    socket.destroy();
    await proxy.stop();
    server.close();
  }
}

function echoesOf(socket: ReturnType<typeof createConnection>): { send: () => Promise<number> } {
  const waiting: { readonly sentAt: number; readonly resolve: (durationMs: number) => void }[] = [];
  let bytes = 0;
  socket.on("data", (chunk) => {
    bytes += chunk.length;
    for (; bytes >= messageBytes; bytes -= messageBytes) {
      const first = waiting.shift();
      first?.resolve(now() - first.sentAt);
    }
  });
  return {
    send: () => {
      const echo = new Promise<number>((resolve) => waiting.push({ sentAt: now(), resolve }));
      socket.write(Buffer.alloc(messageBytes));
      return settled(echo, { what: "echo", timeoutMs });
    },
  };
}
