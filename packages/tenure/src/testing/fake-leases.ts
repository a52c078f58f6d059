import { EtcdError, type EtcdClient } from "@tenure/etcd";
import { ManualClock, seededRandom } from "@tenure/etcd/runtime";
import { grantSession, type Session } from "../session.ts";
import { turn } from "./turn.ts";

export const TTL_MS = 9000;
/** 9 s less 1 % less half a second. */
export const PROVEN_MS = 8410;

/** One stream of keep-alives as the server sees it. */
class KeepAlives {
  readonly signal: AbortSignal;
  readonly openedAt: number;
  suspect = false;
  /** When each request was sent. */
  readonly sentAt: number[] = [];
  readonly #answers: bigint[] = [];
  #wake: () => void = () => undefined;
  #failure: EtcdError | undefined;

  constructor(signal: AbortSignal, openedAt: number) {
    this.signal = signal;
    this.openedAt = openedAt;
    signal.addEventListener("abort", () => this.fail(EtcdError.from(signal.reason)));
  }

  answer(ttlSeconds: number): void {
    this.#answers.push(BigInt(ttlSeconds));
    this.#wake();
  }

  fail(error: EtcdError): void {
    this.#failure ??= error;
    this.#wake();
  }

  async *read(): AsyncGenerator<{ TTL: bigint }> {
    for (;;) {
      const ttl = this.#answers.shift();
      if (ttl !== undefined) yield { TTL: ttl };
      else if (this.#failure !== undefined) throw this.#failure;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

interface Grant {
  readonly ttlSeconds: bigint;
  readonly id: bigint;
}

/** A store that knows leases only, and does what the test says. */
export class FakeLeases {
  readonly clock: ManualClock = new ManualClock();
  readonly grants: Grant[] = [];
  readonly revoked: bigint[] = [];
  readonly streams: KeepAlives[] = [];
  /** Answers a grant: the TTL in seconds. */
  onGrant: (grant: Grant) => Promise<bigint> = ({ ttlSeconds }) => Promise.resolve(ttlSeconds);
  /** Called with each keep-alive. */
  onKeepAlive: (stream: KeepAlives) => void = (stream) => stream.answer(TTL_MS / 1000);

  readonly closing: AbortController = new AbortController();
  readonly etcd: EtcdClient = {
    clock: this.clock,
    closed: this.closing.signal,
    random: seededRandom(1),
    lease: {
      grant: async (ttlSeconds: bigint, { id }: { id: bigint }) => {
        const grant = { ttlSeconds, id };
        this.grants.push(grant);
        return { ID: id, TTL: await this.onGrant(grant) };
      },
      revoke: (id: bigint) => {
        this.revoked.push(id);
        return Promise.resolve();
      },
      keepAlive: (signal: AbortSignal) => {
        const stream = new KeepAlives(signal, this.clock.now());
        this.streams.push(stream);
        const send = (): void => {
          stream.sentAt.push(this.clock.now());
          this.onKeepAlive(stream);
        };
        return { send, answers: stream.read(), suspect: () => void (stream.suspect = true) };
      },
    },
  } as unknown as EtcdClient;

  async session(signal: AbortSignal = new AbortController().signal): Promise<Session> {
    const granted = grantSession(this.etcd, TTL_MS, signal);
    await turn();
    return granted;
  }
}

/** Answers no keep-alive. */
export function unanswered(): void {
  // The member is frozen.
}

/** The error of a connection that broke. */
export const lost = (): EtcdError => new EtcdError("unavailable", "the connection was lost");
