import { connect, createServer, type Server, type Socket } from "node:net";
import { type Clock, systemClock } from "@tenure/etcd/runtime";
import { type Address, cannotListen } from "../listening.ts";
import type { Log } from "../run/log.ts";
import { Connections } from "./connections.ts";
import { closed, listen } from "./listen.ts";
import type { Service } from "./service.ts";

const MAX_CONNECTIONS = 256;
/** How often the service is asked whether it leads, besides when something happens. */
const LOOK_MS = 100;
/** From a failure to listen to the next try. */
const RETRY_MS = 1000;
/** Who does not answer on this machine by then is not there. */
const CONNECT_LIMIT_MS = 1000;

/**
 * A TCP port that listens only while the node leads, for checkers that can do no more than connect. Its connections
 * carry nothing, and are closed when the node leads no more.
 */
export class LeaderPort {
  readonly #service: Pick<Service, "role">;
  readonly #address: Address;
  readonly #flag: string;
  readonly #log: Pick<Log, "note">;
  readonly #clock: Clock;
  readonly #server: Server;
  readonly #connections: Connections;
  #opening = false;
  /** Not before this is it tried again to listen, by the clock. */
  #retryAt = 0;
  #closed = false;
  #cancelLook: () => void = () => undefined;

  constructor(service: Pick<Service, "role">, address: Address, flag: string, log: Pick<Log, "note">) {
    this.#service = service;
    this.#address = address;
    this.#flag = flag;
    this.#log = log;
    this.#clock = systemClock;
    this.#server = createServer((socket) => this.#onConnection(socket));
    this.#connections = new Connections(this.#server, MAX_CONNECTIONS);
    this.#server.on("listening", () => {
      this.#opening = false;
      this.look();
    });
    this.#server.on("error", (error) => this.#failed(error));
  }

  /** Begins to follow the service. Throws CommandError 73 when the address cannot be had. */
  async start(): Promise<void> {
    await assertFree(this.#address, this.#flag);
    this.look();
  }

  /** Looks whether the node leads, and opens or closes the port. */
  readonly look = (): void => {
    if (this.#closed) return;
    this.#cancelLook();
    const leads = this.#service.role === "leader";
    if (!leads) this.#shut();
    else if (!this.#server.listening && !this.#opening && this.#clock.now() >= this.#retryAt) {
      this.#opening = true;
      this.#server.listen(this.#address);
    }
    this.#cancelLook = this.#clock.after(LOOK_MS, this.look);
  };

  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelLook();
    const done = closed(this.#server);
    this.#connections.closeAll();
    await done;
  }

  #onConnection(socket: Socket): void {
    // It may have come in since the last look.
    if (this.#service.role !== "leader") socket.destroy();
    socket.resume();
  }

  #shut(): void {
    if (this.#server.listening) this.#server.close();
    this.#connections.closeAll();
  }

  #failed(error: Error): void {
    this.#opening = false;
    this.#retryAt = this.#clock.now() + RETRY_MS;
    this.#log.note(`${this.#flag}: ${cannotListen(error, this.#address, this.#flag).message}`);
  }
}

/**
 * Finds out as well as one can without listening, since that would look like leading: the address is this machine's,
 * and nobody listens there.
 */
async function assertFree({ host, port }: Address, flag: string): Promise<void> {
  const probe = createServer();
  await listen(probe, { host, port: 0 }, flag);
  await closed(probe);
  if (await answers({ host, port })) {
    throw cannotListen(Object.assign(new Error("in use"), { code: "EADDRINUSE" }), { host, port }, flag);
  }
}

function answers(address: Address): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(address);
    socket.setTimeout(CONNECT_LIMIT_MS, () => socket.destroy());
    socket.once("connect", () => {
      resolve(true);
      socket.destroy();
    });
    socket.on("error", () => undefined);
    socket.once("close", () => resolve(false));
  });
}
