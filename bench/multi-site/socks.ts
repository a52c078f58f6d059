import { createServer, type AddressInfo, type Socket } from "node:net";
import { Sockets } from "./onward.ts";

/** A SOCKS server on loopback. */
export interface SocksServer {
  /** For `HTTP_PROXY`. */
  readonly url: string;
  stop(): void;
}

/** Where connections to a host go, and how long they take to stand; undefined for a host that is not known. */
export type Route = (host: string) => { readonly port: number; readonly delayMs: number } | undefined;

const version = 5;
const noAuth = 0;
const byName = 3;
const greeting = Buffer.from([version, noAuth]);
const accepted = Buffer.from([version, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
const refused = Buffer.from([version, 4, 0, 1, 0, 0, 0, 0, 0, 0]);

/**
 * Starts a SOCKS server. All members of a cluster know the others by the same URLs. Each has such a server of its own
 * as its proxy, so that it is known from whom a connection comes and over which link it has to go.
 */
export async function startSocks(route: Route): Promise<SocksServer> {
  const sockets = new Sockets();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket);
    // A client sends a part when the one before it is answered, and on loopback each comes in one piece.
    socket.once("data", () => {
      socket.once("data", (request: Buffer) => connect(socket, request));
      socket.write(greeting);
    });
  });

  function connect(socket: Socket, request: Buffer): void {
    const host = request[3] === byName ? request.subarray(5, 5 + (request[4] ?? 0)).toString() : "";
    const to = route(host);
    if (to === undefined) return void socket.end(refused);
    socket.pause();
    setTimeout(() => {
      if (socket.destroyed) return;
      socket.write(accepted);
      sockets.join(socket, to.port);
    }, to.delayMs);
  }

  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  return {
    url: `socks5://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: () => {
      server.close();
      sockets.destroy();
    },
  };
}
