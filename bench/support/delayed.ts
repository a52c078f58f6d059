import { once } from "node:events";
import { type AddressInfo, createConnection, createServer, type Socket } from "node:net";

/** A way to a server that is as far as it is said to be. */
export interface DelayedLink {
  readonly endpoint: string;
  stop(): Promise<void>;
}

/**
 * Timers are up to two milliseconds late, which would be a tenth of a round trip: what is due this soon is waited for
 * by looking at the clock again and again.
 */
const watchedMs = 2;

/** Passes on what goes to and from `endpoint`, each direction half of the round trip later. */
export async function startDelayedLink(endpoint: string, rttMs: number): Promise<DelayedLink> {
  const { hostname: host, port } = new URL(endpoint);
  const sockets = new Set<Socket>();
  const listener = createServer({ noDelay: true }, (client) => {
    const server = createConnection({ host, port: Number(port), noDelay: true });
    for (const socket of [client, server]) {
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
      socket.on("error", () => socket.destroy());
    }
    delayed(client, server, rttMs / 2);
    delayed(server, client, rttMs / 2);
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  return {
    endpoint: `http://127.0.0.1:${(listener.address() as AddressInfo).port}`,
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => void listener.close(() => resolve()));
    },
  };
}

/** Writes to `to` what comes from `from`, its end included, so much later. */
function delayed(from: Socket, to: Socket, delayMs: number): void {
  const items: { readonly dueMs: number; readonly chunk: Buffer | undefined }[] = [];
  const add = (chunk?: Buffer): void => {
    items.push({ dueMs: performance.now() + delayMs, chunk });
    if (items.length === 1) wait();
  };
  const wait = (): void => {
    const first = items[0];
    if (first === undefined) return;
    const early = first.dueMs - performance.now();
    if (early > watchedMs) setTimeout(wait, early - watchedMs);
    else if (early > 0) setImmediate(wait);
    else pass();
  };
  const pass = (): void => {
    for (let first = items[0]; first !== undefined && first.dueMs <= performance.now(); first = items[0]) {
      items.shift();
      if (first.chunk === undefined) to.destroy();
      else if (to.writable) to.write(first.chunk);
    }
    wait();
  };
  from.on("data", (chunk: Buffer) => add(chunk));
  from.once("close", () => add());
}
