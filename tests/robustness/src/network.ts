import { createConnection, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { type Proxy, startProxy } from "../../support/proxy.ts";
import { SocketOwners } from "./socket-owners.ts";

/** All links of one cluster: from each member to each other one, and from each node to each member. */
export class Network {
  /** `peers[from][to]`, by the members' numbers; none from a member to itself. */
  readonly peers: (Proxy | undefined)[][] = [];
  /** `clients[node][member]`. */
  readonly clients: Proxy[][] = [];
  readonly #owners = new SocketOwners();
  readonly #gates: Server[] = [];
  readonly #sockets = new Set<Socket>();

  /** Lays the links between members. Returns the URL of each that the others reach it by. */
  async connectMembers(peerPorts: readonly number[], pidOf: (member: number) => number): Promise<string[]> {
    for (const from of peerPorts.keys()) {
      const links: (Proxy | undefined)[] = [];
      for (const [to, port] of peerPorts.entries()) {
        links.push(to === from ? undefined : await startProxy(`127.0.0.1:${port}`));
      }
      this.peers.push(links);
    }
    return Promise.all(peerPorts.map((_, to) => this.#gate(to, pidOf)));
  }

  /** Lays the links of a node. */
  async connectNode(clientPorts: readonly number[]): Promise<readonly Proxy[]> {
    const links = await Promise.all(clientPorts.map((port) => startProxy(`127.0.0.1:${port}`)));
    this.clients.push(links);
    return links;
  }

  /** The links between a member and all others, both ways. */
  peersOf(member: number): Proxy[] {
    const out = this.peers[member] ?? [];
    const into = this.peers.map((links) => links[member]);
    return [...out, ...into].filter((link) => link !== undefined);
  }

  /** The links between a node and all members. */
  clientsOf(node: number): readonly Proxy[] {
    return this.clients[node] ?? [];
  }

  /** The links between a member and all nodes. */
  clientsTo(member: number): Proxy[] {
    return this.clients.flatMap((links) => links[member] ?? []);
  }

  /** The link between a node and a member. */
  client(node: number, member: number): Proxy {
    const link = this.clients[node]?.[member];
    if (link === undefined) throw new Error(`there is no link from node ${node} to member ${member}`);
    return link;
  }

  /** Ends all faults of all links. */
  heal(): void {
    for (const link of this.#links) link.heal();
  }

  async stop(): Promise<void> {
    for (const gate of this.#gates) gate.close();
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(this.#links.map((link) => link.stop()));
  }

  get #links(): Proxy[] {
    return [...this.peers.flat(), ...this.clients.flat()].filter((link) => link !== undefined);
  }

  // All members reach one at the same address. Which of them a connection comes from is seen from the socket's owner,
  // and decides which link it takes.
  async #gate(to: number, pidOf: (member: number) => number): Promise<string> {
    const gate = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      socket.on("error", () => socket.destroy());
      const links = this.peers.map((each) => each[to]);
      const pids = links.map((_, index) => pidOf(index));
      void this.#owners.ownerOf(socket.remotePort ?? 0, pids).then((from) => {
        const link = links[from];
        if (link === undefined || socket.destroyed) return void socket.destroy();
        const port = Number(link.address.split(":")[1]);
        this.#join(socket, createConnection({ port, host: "127.0.0.1", noDelay: true }));
      });
    });
    this.#gates.push(gate);
    await new Promise<void>((resolve, reject) => {
      gate.once("error", reject);
      gate.listen(0, "127.0.0.1", resolve);
    });
    return `http://127.0.0.1:${(gate.address() as AddressInfo).port}`;
  }

  #join(one: Socket, other: Socket): void {
    one.pipe(other);
    other.pipe(one);
    for (const [socket, peer] of [
      [one, other],
      [other, one],
    ] as const) {
      this.#sockets.add(socket);
      socket.on("error", () => peer.destroy());
      socket.on("close", () => {
        this.#sockets.delete(socket);
        peer.destroy();
      });
    }
  }
}
