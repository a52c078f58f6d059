import type { Connection } from "./connection.ts";

/**
 * Orders the endpoints by what they did lately: those without a failure since their last success first. Among equals
 * the order of the start stays, so that a client keeps to one member as long as that one answers.
 */
export class EndpointRanking {
  readonly #failures = new Map<Connection, number>();

  /** @param connections in the order to be tried at the start */
  constructor(connections: readonly Connection[]) {
    for (const connection of connections) this.#failures.set(connection, 0);
  }

  ordered(): Connection[] {
    return [...this.#failures].toSorted(([, a], [, b]) => a - b).map(([connection]) => connection);
  }

  succeeded(connection: Connection): void {
    this.#failures.set(connection, 0);
  }

  failed(connection: Connection): void {
    this.#failures.set(connection, (this.#failures.get(connection) ?? 0) + 1);
  }

  close(): void {
    for (const connection of this.#failures.keys()) connection.close();
  }
}
