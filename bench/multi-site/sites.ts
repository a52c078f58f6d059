import { createServer, type AddressInfo, type Server } from "node:net";
import { type Proxy, startProxy } from "../../tests/support/proxy.ts";
import { Sockets } from "./onward.ts";
import { startSocks, type SocksServer } from "./socks.ts";

interface Link {
  readonly proxy: Proxy;
  readonly sites: readonly [number, number];
}

/**
 * The network of some sites: what passes from one to another comes half a round trip later, in each direction, however
 * much is on the way; within a site nothing is added. Each link is a proxy on loopback.
 */
export class Sites {
  readonly #rttMs: number;
  readonly #memberSites: readonly number[];
  readonly #links: Link[] = [];
  readonly #socks: SocksServer[] = [];
  readonly #handshakes: Server[] = [];
  readonly #sockets = new Sockets();
  readonly #cut = new Set<number>();
  readonly #endpoints = new Map<number, Promise<string[]>>();

  /** @param memberSites the site of each member */
  constructor(rttMs: number, memberSites: readonly number[]) {
    this.#rttMs = rttMs;
    this.#memberSites = memberSites;
  }

  /** The name of a member's host, for the others. */
  hostOf(member: number): string {
    return `member-${member}.invalid`;
  }

  /** Lays the links from a member to the others. Returns the proxy by which it has to reach them. */
  async connectMember(from: number, peerPorts: readonly number[]): Promise<string> {
    const ports = new Map<string, { readonly port: number; readonly delayMs: number }>();
    for (const [to, peerPort] of peerPorts.entries()) {
      const sites = [this.#siteOf(from), this.#siteOf(to)] as const;
      const port = portOf(await this.#lay(peerPort, sites));
      ports.set(this.hostOf(to), { port, delayMs: 2 * this.#delayMs(sites) });
    }
    const socks = await startSocks((host) => ports.get(host));
    this.#socks.push(socks);
    return socks.url;
  }

  /** The endpoints at which the nodes of a site find all members. */
  endpoints(site: number, clientPorts: readonly number[]): Promise<string[]> {
    const laid = this.#endpoints.get(site) ?? this.#connect(site, clientPorts);
    this.#endpoints.set(site, laid);
    return laid;
  }

  /** Loses everything between a site and the others, and tells nobody. */
  cut(site: number): void {
    this.#cut.add(site);
    for (const { proxy, sites } of this.#links) if (this.#isCut(sites)) proxy.blackhole();
  }

  heal(): void {
    const links = this.#links.filter(({ sites }) => this.#isCut(sites));
    this.#cut.clear();
    for (const { proxy, sites } of links) {
      proxy.heal(); // of its delay, too
      proxy.delay(this.#delayMs(sites));
    }
  }

  async stop(): Promise<void> {
    for (const socks of this.#socks) socks.stop();
    for (const server of this.#handshakes) server.close();
    this.#sockets.destroy();
    await Promise.all(this.#links.map(({ proxy }) => proxy.stop()));
  }

  #connect(site: number, clientPorts: readonly number[]): Promise<string[]> {
    return Promise.all(
      clientPorts.map(async (clientPort, member) => {
        const proxy = await this.#lay(clientPort, [site, this.#siteOf(member)]);
        return this.#siteOf(member) === site || this.#rttMs === 0 ? proxy.endpoint : this.#withHandshake(proxy);
      }),
    );
  }

  async #lay(port: number, sites: Link["sites"]): Promise<Proxy> {
    const proxy = await startProxy(`127.0.0.1:${port}`);
    this.#links.push({ proxy, sites });
    proxy.delay(this.#delayMs(sites));
    return proxy;
  }

  #delayMs([one, other]: Link["sites"]): number {
    return one === other ? 0 : this.#rttMs / 2;
  }

  #isCut([one, other]: Link["sites"]): boolean {
    return one !== other && (this.#cut.has(one) || this.#cut.has(other));
  }

  #siteOf(member: number): number {
    return this.#memberSites[member] ?? 0;
  }

  // A proxy on loopback accepts a connection at once. Between sites that takes a round trip, and the first bytes wait.
  async #withHandshake(proxy: Proxy): Promise<string> {
    const port = portOf(proxy);
    const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (socket) => {
      this.#sockets.add(socket);
      setTimeout(() => {
        if (socket.destroyed) return;
        this.#sockets.join(socket, port);
      }, this.#rttMs);
    });
    this.#handshakes.push(server);
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(0, "127.0.0.1", resolve);
    });
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }
}

function portOf(proxy: Proxy): number {
  return Number(proxy.address.split(":")[1]);
}
