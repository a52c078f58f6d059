import { createConnection, type Socket } from "node:net";

/** Sockets that end together with their owner. */
export class Sockets {
  readonly #open = new Set<Socket>();

  add(socket: Socket): void {
    this.#open.add(socket);
    socket.on("error", () => undefined); // its end is what counts
    socket.on("close", () => this.#open.delete(socket));
  }

  /** Joins a socket with a new connection to a port of loopback. */
  join(socket: Socket, port: number): void {
    const onward = createConnection({ host: "127.0.0.1", port, allowHalfOpen: true, noDelay: true });
    this.add(onward);
    socket.pipe(onward).pipe(socket);
    socket.on("close", () => onward.destroy());
    onward.on("close", () => socket.destroy());
  }

  destroy(): void {
    for (const socket of this.#open) socket.destroy();
  }
}
