import { createServer, type Server, type Socket } from "node:net";
import { systemClock } from "@tenure/etcd/runtime";
import type { Address } from "../listening.ts";
import { Connections } from "./connections.ts";
import { closed, listen } from "./listen.ts";
import type { Service } from "./service.ts";

const MAX_CONNECTIONS = 64;
/** How long a client may take to read a line and go. */
const LIMIT_MS = 1000;

/**
 * HAProxy's agent check: a line for each connection, "up" while the node leads, "down" otherwise.
 *
 * Not "up ready": that would take a server out of the maintenance that an operator put it in.
 */
export class AgentCheck {
  readonly #service: Service;
  readonly #server: Server;
  readonly #connections: Connections;

  constructor(service: Service) {
    this.#service = service;
    this.#server = createServer((socket) => this.#answer(socket));
    this.#connections = new Connections(this.#server, MAX_CONNECTIONS);
  }

  /** Returns where it listens. Throws CommandError 73. */
  listen(address: Address, flag: string): Promise<Address> {
    return listen(this.#server, address, flag);
  }

  async close(): Promise<void> {
    const done = closed(this.#server);
    this.#connections.closeAll();
    await done;
  }

  #answer(socket: Socket): void {
    const cancel = systemClock.after(LIMIT_MS, () => socket.destroy());
    socket.once("close", cancel);
    // What HAProxy may send first is of no interest, but unread it would take our line along when we close.
    socket.resume();
    const { role, phase } = this.#service;
    socket.end(role === "leader" ? "up\n" : `down #${phase}\n`);
  }
}
