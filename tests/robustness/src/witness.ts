import { now } from "./clock.ts";
import type { Gateway, KeyEvent } from "./gateway.ts";
import type { Trace } from "./history.ts";

/** A key that stood in the election. */
export interface CandidateKey {
  readonly key: string;
  readonly createRevision: bigint;
  readonly lease: bigint;
  /** Whose it is, where candidates say so. */
  readonly value: string;
  readonly seenAt: number;
  /** When its deletion was seen first, at whichever member. */
  deletedAt: number | undefined;
}

/** A write to the register that only leaders write. */
export interface RegisterWrite {
  readonly revision: bigint;
  readonly token: bigint;
  readonly at: number;
}

const retryMs = 100;

/** Watches every member directly, past all broken links, and remembers what was when. */
export class Witness {
  /** All keys that ever stood, the oldest first. */
  readonly keys: CandidateKey[] = [];
  readonly writes: RegisterWrite[] = [];
  readonly #trace: Trace;
  readonly #prefix: string;
  readonly #register: string;
  readonly #stop = new AbortController();
  readonly #watches: Promise<void>[];
  #revision = 0n;

  constructor(gateways: readonly Gateway[], prefix: string, register: string, trace: Trace) {
    this.#trace = trace;
    this.#prefix = prefix;
    this.#register = register;
    this.#watches = gateways.map((gateway) => this.#watch(gateway));
  }

  /** The keys that stand now, in order of succession. */
  get queue(): readonly CandidateKey[] {
    return this.keys.filter(({ deletedAt }) => deletedAt === undefined);
  }

  /** The last revision that was seen. */
  get revision(): bigint {
    return this.#revision;
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#watches);
  }

  async #watch(gateway: Gateway): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        await gateway.watch(this.#revision + 1n, (events) => this.#apply(events), signal);
      } catch {
        // The member is away; another one tells the same.
      }
      if (!signal.aborted) await new Promise((resolve) => void setTimeout(resolve, retryMs));
    }
  }

  // All members tell the same history in the same order, all events of a revision at once.
  #apply(events: readonly KeyEvent[]): void {
    const known = this.#revision;
    const at = now();
    for (const event of events) {
      const { modRevision } = event.kv;
      if (modRevision <= known) continue;
      if (modRevision > this.#revision) this.#revision = modRevision;
      this.#note(event, at);
    }
  }

  #note({ deleted, kv }: KeyEvent, at: number): void {
    const { key, value, createRevision, modRevision, lease } = kv;
    if (key === this.#register && !deleted) {
      this.writes.push({ revision: modRevision, token: BigInt(value.split(" ")[0] ?? 0), at });
    }
    if (!key.startsWith(this.#prefix)) return;
    const gone = this.keys.find((each) => each.key === key && each.deletedAt === undefined);
    if (deleted && gone !== undefined) {
      gone.deletedAt = at;
      this.#trace(at, `${key} of revision ${gone.createRevision} is gone at revision ${modRevision}`);
    }
    if (deleted || createRevision !== modRevision) return;
    this.#trace(at, `${key} is created by ${value} at revision ${createRevision}`);
    this.keys.push({ key, createRevision, lease, value, seenAt: at, deletedAt: undefined });
  }
}
