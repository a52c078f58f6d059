// As a whole: what it exports by name goes on telling of the servers it began with, whatever they are set to.
import { CallScope } from "./call-scope.ts";
import type { Connection } from "./connection.ts";
import type { EndpointRanking } from "./endpoint-ranking.ts";
import type { EndpointSource } from "./endpoint-source.ts";
import { type Endpoint, parseEndpoint } from "./endpoint.ts";
import { EtcdError } from "./errors.ts";
import { publishDiscoveryFailed, publishEndpointAdded, publishEndpointRemoved } from "./events.ts";
import { backoffMs } from "./runtime/backoff.ts";
import { type Clock, systemClock } from "./runtime/clock.ts";
import { type Random, systemRandom } from "./runtime/random.ts";

/** One SRV record, as Node has it. */
export interface SrvRecord {
  /** The host. */
  readonly name: string;
  readonly port: number;
  /** Those with a lower number come first. */
  readonly priority: number;
  /** Among those of one priority: how often it comes first, compared to the others. */
  readonly weight: number;
}

/** Whoever can be asked for SRV records: `Resolver` of `node:dns/promises` for one. */
export interface SrvResolver {
  resolveSrv(name: string): Promise<readonly SrvRecord[]>;
}

/** Where in DNS the endpoints of a cluster are written down, as etcd's own tools look for them. */
export interface SrvOptions {
  /** `example.com` for the records `_etcd-client-ssl._tcp.example.com` (https) and `_etcd-client._tcp.example.com`. */
  readonly domain: string;
  /** Tells clusters of one domain apart: `blue` for `_etcd-client-ssl-blue._tcp.example.com`. */
  readonly serviceName?: string | undefined;
  /** Whom to ask. Default: the servers that `node:dns` is set to, for up to 3 s. */
  readonly resolver?: SrvResolver | undefined;
}

/** How the endpoints that were found are kept. */
interface SrvDiscoveryOptions {
  /** Whether nothing but https will do: options of TLS were given. */
  readonly secure: boolean;
  readonly ranking: EndpointRanking;
  readonly clock: Clock;
  readonly random: Random;
  readonly open: (endpoint: Endpoint) => Connection;
}

/** Less than most calls may take, so that they can tell the reason. */
const TIMEOUT_MS = 3000;
/** When DNS is asked again, after an answer that did not help. */
const AGAIN = { firstMs: 1000, maxMs: 30_000 };
/** Nobody has so many members. */
const MAX_RECORDS = 64;
/** One label after the other, letters, digits and hyphens; an underscore is for services, but seen in hosts. */
const DOMAIN = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$/i;
/** What is left of a label of 63 after `_etcd-client-ssl-`. */
const SERVICE_NAME = /^[a-z0-9]([a-z0-9-]{0,44}[a-z0-9])?$/i;
/** How Node says that there is no such record. */
const NO_RECORD: readonly unknown[] = ["ENOTFOUND", "ENODATA"];
/** How it says, or we say, that nobody answers. */
const LATE: readonly unknown[] = ["ETIMEOUT", "ECANCELLED", "deadline-exceeded"];

/**
 * Finds the endpoints of a cluster in DNS when the first call needs them, and again when all of them have failed: DNS
 * has the last word then, and what it names no more is given up. If it does not answer, or names nothing, those that
 * were known go on being tried.
 */
export class SrvDiscovery implements EndpointSource {
  readonly #options: SrvDiscoveryOptions;
  readonly #lookup: SrvLookup;
  readonly #connections = new Map<string, Connection>();
  #asked: Promise<void> | undefined;
  #askAt = 0;
  #attempts = 0;
  #failure: EtcdError | undefined;
  #closed = false;

  /** Throws `invalid-argument` for a domain or a name that cannot be. */
  constructor(srv: SrvOptions, options: SrvDiscoveryOptions) {
    this.#options = options;
    this.#lookup = new SrvLookup(srv, options);
  }

  pending(): Promise<void> | undefined {
    if (this.#connections.size > 0) return undefined;
    if (this.#asked !== undefined) return this.#asked;
    const early = this.#options.clock.monotonic() < this.#askAt;
    return early && this.#failure !== undefined ? Promise.reject(this.#failure) : this.#ask();
  }

  answered(): void {
    this.#attempts = 0;
  }

  exhausted(): void {
    if (this.#closed || this.#asked !== undefined || this.#options.clock.monotonic() < this.#askAt) return;
    // Told on its channel; the calls that failed have told their own reasons.
    this.#ask().catch(() => undefined);
  }

  close(): void {
    this.#closed = true;
    this.#lookup.cancel();
  }

  #ask(): Promise<void> {
    this.#asked = this.#take().finally(() => (this.#asked = undefined));
    return this.#asked;
  }

  async #take(): Promise<void> {
    const { clock, random } = this.#options;
    try {
      const endpoints = await this.#lookup.endpoints();
      if (this.#closed) throw new EtcdError("unavailable", "the client is closed", { mayHaveApplied: false });
      this.#bring(endpoints);
      this.#failure = undefined;
    } catch (thrown) {
      const error = EtcdError.from(thrown);
      if (!this.#closed && error.message !== this.#failure?.message) publishDiscoveryFailed("srv", error);
      this.#failure = error;
      throw error;
    } finally {
      this.#askAt = clock.monotonic() + backoffMs(this.#attempts++, AGAIN, random);
    }
  }

  /** Brings the ranking in line with DNS. */
  #bring(endpoints: readonly Endpoint[]): void {
    const { ranking, open } = this.#options;
    const urls = new Set(endpoints.map(({ url }) => url));
    for (const endpoint of endpoints) {
      if (this.#connections.has(endpoint.url)) continue;
      const connection = open(endpoint);
      this.#connections.set(endpoint.url, connection);
      ranking.add(connection);
      publishEndpointAdded(endpoint.url, "srv");
    }
    for (const [url, connection] of this.#connections) {
      if (urls.has(url)) continue;
      this.#connections.delete(url);
      ranking.remove(connection);
      connection.close("DNS does not name this endpoint any more");
      publishEndpointRemoved(url, "unlisted");
    }
  }
}

/** The question to DNS, and the reading of its answer. */
class SrvLookup {
  readonly #srv: SrvOptions;
  readonly #clock: Clock;
  readonly #random: Random;
  /** Never set back: who once found the way with TLS takes no other. */
  #secure: boolean;
  #cancel: () => void = () => undefined;

  constructor(srv: SrvOptions, { secure, clock, random }: Pick<SrvDiscoveryOptions, "secure" | "clock" | "random">) {
    assertSrvOptions(srv);
    this.#srv = srv;
    this.#secure = secure;
    this.#clock = clock;
    this.#random = random;
  }

  /** In the order to be tried, at least one. Throws `unavailable` naming the records asked for. */
  async endpoints(): Promise<Endpoint[]> {
    const kinds = this.#secure ? [true] : [true, false];
    const missing: string[] = [];
    for (const secure of kinds) {
      const name = this.#nameOf(secure);
      const records = inOrder((await this.#records(name)).slice(0, MAX_RECORDS), this.#random);
      const byUrl = new Map(records.flatMap((each) => readable(each, secure)).map((each) => [each.url, each]));
      if (byUrl.size > 0) {
        this.#secure = secure;
        return [...byUrl.values()];
      }
      missing.push(name);
    }
    throw unavailable(`DNS has no SRV record ${missing.join(", nor ")}`);
  }

  /** Ends what is under way, which would keep the process alive. */
  cancel(): void {
    this.#cancel();
  }

  #nameOf(secure: boolean): string {
    const { domain, serviceName } = this.#srv;
    const service = `_etcd-client${secure ? "-ssl" : ""}${serviceName === undefined ? "" : `-${serviceName}`}`;
    return `${service}._tcp.${domain.replace(/\.$/, "")}`;
  }

  /** None where DNS says so; it is an error that it says nothing, for there may have been some with TLS. */
  async #records(name: string): Promise<readonly SrvRecord[]> {
    const asked = this.#srv.resolver?.resolveSrv(name) ?? this.#ask(name);
    try {
      return await CallScope.before(asked, this.#clock, undefined, this.#clock.monotonic() + TIMEOUT_MS);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (NO_RECORD.includes(code)) return [];
      const why = LATE.includes(code) ? "no answer in time" : message;
      throw unavailable(`DNS does not tell the SRV record ${name}: ${why}`, error);
    } finally {
      this.#cancel();
    }
  }

  #ask(name: string): Promise<readonly SrvRecord[]> {
    // One for each question: a resolver with a question under way takes no other servers.
    // Loaded by those who look something up.
    const dns = process.getBuiltinModule("node:dns");
    const resolver = new dns.promises.Resolver();
    resolver.setServers(dns.getServers());
    this.#cancel = () => resolver.cancel();
    return resolver.resolveSrv(name);
  }
}

/**
 * The endpoints that DNS names now, in the order to be tried.
 *
 * @param secure whether nothing but https will do
 * @throws EtcdError `unavailable` naming the records asked for, `invalid-argument` for options that cannot be
 */
export async function resolveSrvEndpoints(
  srv: SrvOptions,
  secure: boolean,
  random: Random = systemRandom,
): Promise<string[]> {
  const lookup = new SrvLookup(srv, { secure, clock: systemClock, random });
  try {
    return (await lookup.endpoints()).map(({ url }) => url);
  } finally {
    lookup.cancel();
  }
}

/** Throws `invalid-argument` for a domain or a name that cannot be. */
export function assertSrvOptions({ domain, serviceName }: SrvOptions): void {
  if (!DOMAIN.test(domain.replace(/\.$/, ""))) throw invalid(`${JSON.stringify(domain)} is not the name of a domain`);
  if (serviceName !== undefined && !SERVICE_NAME.test(serviceName)) {
    throw invalid(`${JSON.stringify(serviceName)} is not the name of a service: up to 46 letters, digits and hyphens`);
  }
}

/** By priority, and within one by chance according to weight (RFC 2782). */
function inOrder(records: readonly SrvRecord[], random: Random): SrvRecord[] {
  const left = records.toSorted((a, b) => a.priority - b.priority);
  const ordered: SrvRecord[] = [];
  while (left.length > 0) {
    const equals = left.filter(({ priority }) => priority === left[0]?.priority);
    let mark = random.fraction() * equals.reduce((sum, record) => sum + shareOf(record), 0);
    const at = equals.findIndex((record) => (mark -= shareOf(record)) < 0);
    ordered.push(...left.splice(Math.max(at, 0), 1));
  }
  return ordered;
}

/** A weight of 0 leaves a very small chance. */
function shareOf({ weight }: SrvRecord): number {
  return weight === 0 ? 0.01 : weight;
}

/** A record as an endpoint; none for one that says that there is no such service (RFC 2782), or nonsense. */
function readable({ name, port }: SrvRecord, secure: boolean): Endpoint[] {
  try {
    return [parseEndpoint(`${secure ? "https" : "http"}://${name.replace(/\.$/, "")}:${port}`)];
  } catch {
    return [];
  }
}

function unavailable(message: string, cause?: unknown): EtcdError {
  return new EtcdError("unavailable", message, { cause, mayHaveApplied: false });
}

function invalid(message: string): EtcdError {
  return new EtcdError("invalid-argument", message);
}
