import { once } from "node:events";
import { createConnection, createServer, type Server, type Socket } from "node:net";

/** Bytes that may wait on their way to a side that does not read. */
const HIGH_WATER_BYTES = 1024 * 1024;

/** A connection of a client. */
export interface TestConnection {
  /** The client's port, by which a test tells its connections apart. */
  readonly remotePort: number;
  /** Breaks the connection, as a network does: the client sees a reset. */
  cut(): void;
}

/** A way to the server that can be stopped and cut, below anything that clients and server say. */
export class Relay {
  readonly #listener: Server;
  readonly #target: number;
  readonly #links = new Set<Link>();
  #isFrozen = false;
  #passed = 0;

  /** Leads to a port of this machine. */
  constructor(targetPort: number) {
    this.#target = targetPort;
    this.#listener = createServer({ noDelay: true, allowHalfOpen: true }, (client) => this.#connect(client));
  }

  /** Starts to listen on the loopback address and returns the port. */
  async listen(port: number): Promise<number> {
    this.#listener.listen({ host: "127.0.0.1", port });
    await once(this.#listener, "listening");
    const address = this.#listener.address();
    if (address === null || typeof address === "string") throw new TypeError("a TCP server has no port");
    return address.port;
  }

  /** How many times something has passed, in either direction. */
  get passed(): number {
    return this.#passed;
  }

  /** The connections that are open, the oldest first. */
  get connections(): readonly TestConnection[] {
    return [...this.#links];
  }

  /** From now on nothing passes in either direction, until {@link thaw}. */
  freeze(): void {
    this.#isFrozen = true;
    for (const link of this.#links) link.pause();
  }

  thaw(): void {
    this.#isFrozen = false;
    for (const link of this.#links) link.resume();
  }

  async close(): Promise<void> {
    const closed = once(this.#listener, "close");
    this.#listener.close();
    for (const link of this.#links) link.cut();
    await closed;
  }

  #connect(client: Socket): void {
    const server = createConnection({ host: "127.0.0.1", port: this.#target, noDelay: true, allowHalfOpen: true });
    const link = new Link(client, server, {
      passed: () => (this.#passed += 1),
      closed: () => this.#links.delete(link),
    });
    this.#links.add(link);
    if (this.#isFrozen) link.pause();
  }
}

/** What is heard of a link. */
interface LinkListener {
  readonly passed: () => void;
  readonly closed: () => void;
}

class Link implements TestConnection {
  readonly remotePort: number;
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #listener: LinkListener;
  #isPaused = false;

  constructor(client: Socket, server: Socket, listener: LinkListener) {
    this.remotePort = client.remotePort ?? 0;
    this.#client = client;
    this.#server = server;
    this.#listener = listener;
    this.#pass(client, server);
    this.#pass(server, client);
    client.once("close", listener.closed);
  }

  cut(): void {
    this.#client.resetAndDestroy();
    this.#server.destroy();
  }

  pause(): void {
    this.#isPaused = true;
    this.#client.pause();
    this.#server.pause();
  }

  resume(): void {
    this.#isPaused = false;
    this.#client.resume();
    this.#server.resume();
  }

  #pass(from: Socket, to: Socket): void {
    from.on("data", (chunk: Buffer) => {
      this.#listener.passed();
      to.write(chunk);
      if (to.writableLength > HIGH_WATER_BYTES) from.pause();
    });
    to.on("drain", () => {
      if (!this.#isPaused) from.resume();
    });
    from.once("end", () => to.end());
    // A connection that breaks on one side is of no use on the other.
    from.on("error", () => to.destroy());
    from.once("close", () => to.destroySoon());
  }
}
