import { createConnection, createServer, type AddressInfo, type Socket } from "node:net";

/** A direction through the proxy: up is towards the server. */
export type Direction = "up" | "down" | "both";

/** A TCP proxy on loopback that can break in the ways in which networks break. */
export interface Proxy extends AsyncDisposable {
  /** What a client connects to instead of the server, `host:port`. */
  readonly address: string;
  /** The same as an endpoint, `http://host:port`. */
  readonly endpoint: string;
  /** The number of connections that are open. */
  readonly connections: number;
  /** Resets all connections, and each new one at once. */
  cut(): void;
  /** Keeps connections open, new ones too, and holds back what arrives, closes included, as a partition does. */
  blackhole(direction?: Direction): void;
  /** The same in both directions, but only on the connections that are open: new ones work, as on another route. */
  strand(): void;
  /** Passes everything on this much later, in each direction. */
  delay(durationMs: number): void;
  /** Ends all faults. What was held back arrives now, as TCP's retransmissions do. */
  heal(): void;
  /** Resets all connections and stops listening. */
  stop(): Promise<void>;
}

/** Starts a proxy to `target`, a `host:port` or an endpoint. */
export async function startProxy(target: string): Promise<Proxy> {
  const { hostname, port } = new URL(target.includes("://") ? target : `http://${target}`);
  const faults: Faults = { hole: undefined, delayMs: 0 };
  const links = new Set<Link>();
  let refuse = false;

  const listener = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    if (refuse) return void client.resetAndDestroy();
    const server = createConnection({ host: hostname, port: Number(port), allowHalfOpen: true, noDelay: true });
    const link = new Link(client, server, faults, () => links.delete(link));
    links.add(link);
  });
  await new Promise<void>((resolve, reject) => {
    listener.once("error", reject);
    listener.listen(0, "127.0.0.1", resolve);
  });
  const { port: ownPort } = listener.address() as AddressInfo;

  async function stop(): Promise<void> {
    for (const link of links) link.reset();
    if (listener.listening) await new Promise<void>((resolve) => void listener.close(() => resolve()));
  }
  return {
    address: `127.0.0.1:${ownPort}`,
    endpoint: `http://127.0.0.1:${ownPort}`,
    get connections() {
      return links.size;
    },
    cut: () => {
      refuse = true;
      for (const link of links) link.reset();
    },
    blackhole: (direction = "both") => {
      faults.hole = direction;
    },
    strand: () => {
      for (const link of links) link.strand();
    },
    delay: (durationMs) => {
      faults.delayMs = durationMs;
    },
    heal: () => {
      refuse = false;
      faults.hole = undefined;
      faults.delayMs = 0;
      for (const link of links) link.resume();
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

interface Faults {
  hole: Direction | undefined;
  delayMs: number;
}

// One connection: two sockets and a queue for each direction.
class Link {
  readonly #sockets: readonly [Socket, Socket];
  readonly #queues: readonly [Queue, Queue];
  readonly #gone: () => void;

  constructor(client: Socket, server: Socket, faults: Faults, gone: () => void) {
    this.#gone = gone;
    this.#sockets = [client, server];
    const broken = (): void => this.reset();
    this.#queues = [new Queue(client, server, "up", faults, broken), new Queue(server, client, "down", faults, broken)];
    for (const socket of this.#sockets) {
      socket.on("close", () => {
        if (this.#sockets.every(({ destroyed }) => destroyed)) this.#gone();
      });
    }
  }

  reset(): void {
    this.#gone();
    for (const socket of this.#sockets) {
      // Node never closes a socket that is reset while its end is on the way.
      if (socket.writableEnded) socket.destroy();
      else if (!socket.destroyed) socket.resetAndDestroy();
    }
  }

  resume(): void {
    for (const queue of this.#queues) queue.resume();
  }

  strand(): void {
    for (const queue of this.#queues) queue.strand();
  }
}

type Item = { readonly due: number; readonly what: Buffer | "end" | "reset" };

const queuedBytesMax = 1024 * 1024;

// One direction. Bytes and what ends them go through one queue, so that they stay in order.
class Queue {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #direction: Direction;
  readonly #faults: Faults;
  readonly #broken: () => void;
  readonly #items: Item[] = [];
  #bytes = 0;
  #stranded = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(from: Socket, to: Socket, direction: Direction, faults: Faults, broken: () => void) {
    this.#from = from;
    this.#to = to;
    this.#direction = direction;
    this.#faults = faults;
    this.#broken = broken;
    from.on("data", (chunk: Buffer) => this.#add(chunk));
    from.on("end", () => this.#add("end"));
    from.on("error", () => this.#add("reset"));
    to.on("drain", () => this.flush());
  }

  #add(what: Item["what"]): void {
    const last = this.#items.at(-1)?.due ?? 0;
    this.#items.push({ due: Math.max(last, performance.now() + this.#faults.delayMs), what });
    if (typeof what === "object") this.#bytes += what.length;
    if (this.#bytes > queuedBytesMax) this.#from.pause();
    this.flush();
  }

  strand(): void {
    this.#stranded = true;
  }

  resume(): void {
    this.#stranded = false;
    this.flush();
  }

  flush(): void {
    clearTimeout(this.#timer);
    const { hole } = this.#faults;
    if (this.#stranded || hole === "both" || hole === this.#direction) return;
    for (let item = this.#items[0]; item !== undefined; item = this.#items[0]) {
      const early = item.due - performance.now();
      if (early > 0) {
        this.#timer = setTimeout(() => this.flush(), early).unref();
        return;
      }
      if (this.#to.writableNeedDrain) return;
      this.#items.shift();
      this.#pass(item.what);
    }
    this.#from.resume();
  }

  #pass(what: Item["what"]): void {
    if (what === "reset") return this.#broken();
    if (what === "end") return void this.#to.end();
    this.#bytes -= what.length;
    if (this.#to.writable) this.#to.write(what);
  }
}
