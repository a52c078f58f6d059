import type { Server, Socket } from "node:net";

/**
 * The connections of a server, bounded: when there are too many, the oldest one goes that is of no use at the moment.
 * So clients that only hold connections open, however many, keep nobody else out.
 */
export class Connections {
  readonly #max: number;
  /** Oldest first. */
  readonly #idle = new Set<Socket>();
  readonly #all = new Set<Socket>();

  constructor(server: Server, max: number) {
    this.#max = max;
    server.on("connection", (socket: Socket) => this.#opened(socket));
  }

  /** A connection that is in use for as long as it lasts. Whoever calls this bounds their number. */
  keep(socket: Socket): void {
    this.#idle.delete(socket);
  }

  closeAll(): void {
    for (const socket of this.#all) socket.destroy();
  }

  #opened(socket: Socket): void {
    this.#all.add(socket);
    this.#idle.add(socket);
    socket.once("close", () => {
      this.#all.delete(socket);
      this.#idle.delete(socket);
    });
    // A client that goes away is no fault of ours.
    socket.on("error", () => undefined);
    const [oldest] = this.#idle;
    if (this.#idle.size > this.#max) oldest?.destroy();
  }
}
