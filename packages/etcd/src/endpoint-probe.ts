import type { Connection } from "./connection.ts";
import type { EndpointRanking } from "./endpoint-ranking.ts";
import { EtcdError } from "./errors.ts";
import type { StatusResponse } from "./gen/rpc_pb.ts";
import type { Clock } from "./runtime/clock.ts";

/** How long a member's answer says something about it. */
const FRESH_MS = 30_000;
/** A client that lives for less than this needs no other member. */
const FIRST_AFTER_MS = 1000;

/**
 * Asks the members how they are, all of them the same, so that the ranking knows the way to each before it is needed:
 * how long an answer takes, and who only learns or has no leader. It asks in the wake of other calls, never by a timer,
 * and holds nobody up. With one endpoint there is nothing to choose, and nothing is asked.
 */
export class EndpointProbe {
  readonly #ranking: EndpointRanking;
  readonly #clock: Clock;
  readonly #ask: (connection: Connection) => Promise<StatusResponse>;
  #nextAt: number;

  /** @param ask the state of a member, as it is asked over one connection */
  constructor(ranking: EndpointRanking, clock: Clock, ask: (connection: Connection) => Promise<StatusResponse>) {
    this.#ranking = ranking;
    this.#clock = clock;
    this.#ask = ask;
    this.#nextAt = clock.monotonic() + FIRST_AFTER_MS;
  }

  /** A call has succeeded just now. */
  look(): void {
    const now = this.#clock.monotonic();
    if (now < this.#nextAt) return;
    const connections = this.#ranking.ordered();
    if (connections.length < 2) return;
    this.#nextAt = now + FRESH_MS;
    for (const connection of connections) {
      void this.#probe(connection);
    }
  }

  async #probe(connection: Connection): Promise<void> {
    const startedAt = this.#clock.monotonic();
    try {
      const { leader, isLearner } = await this.#ask(connection);
      if (isLearner || leader === 0n) this.#ranking.failed(connection);
      else this.#ranking.succeeded(connection, this.#clock.monotonic() - startedAt);
    } catch (thrown) {
      const { code } = EtcdError.from(thrown);
      // Who may not ask has an answer all the same, and knows how long it took.
      if (code === "permission-denied" || code === "unauthenticated") {
        this.#ranking.succeeded(connection, this.#clock.monotonic() - startedAt);
      } else this.#ranking.failed(connection);
    }
  }
}
