import type { Clock, Random } from "@tenure/etcd/runtime";

import type { AuthInfo, AuthTokens, TokenSubject } from "./auth-tokens.ts";

/** etcd's default of `--auth-token-ttl`. */
export const DEFAULT_TOKEN_TTL_MS = 300_000;

const LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
const PREFIX_LENGTH = 16;

interface Token {
  readonly user: string;
  expiresAtMs: number;
}

/** etcd's simple tokens: random letters that stand for a user until they were not used for a while. */
export class SimpleTokens implements AuthTokens {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #ttlMs: number;
  readonly #tokens = new Map<string, Token>();

  constructor(clock: Clock, random: Random, ttlMs: number) {
    this.#clock = clock;
    this.#random = random;
    this.#ttlMs = ttlMs;
  }

  /** Makes a token for a user. The index follows the letters, as in etcd's. */
  assign({ user, index }: TokenSubject): string {
    const letters = Array.from({ length: PREFIX_LENGTH }, () => LETTERS[this.#letter()]).join("");
    const token = `${letters}.${index}`;
    this.#tokens.set(token, { user, expiresAtMs: this.#clock.now() + this.#ttlMs });
    return token;
  }

  /** Whose token this is; it lives on for another TTL then. Undefined for one that is unknown or has run out. */
  infoOf(token: string, revision: bigint): AuthInfo | undefined {
    const known = this.#tokens.get(token);
    if (known === undefined || this.#hasExpired(known)) return undefined;
    known.expiresAtMs = this.#clock.now() + this.#ttlMs;
    return { user: known.user, revision };
  }

  /** Ends all tokens of a user. */
  invalidateUser(user: string): void {
    for (const [token, known] of this.#tokens) if (known.user === user) this.#tokens.delete(token);
  }

  disable(): void {
    this.#tokens.clear();
  }

  expireAll(): void {
    this.#tokens.clear();
  }

  /** Forgets the tokens that have run out. */
  tick(): void {
    for (const [token, known] of this.#tokens) if (this.#hasExpired(known)) this.#tokens.delete(token);
  }

  #hasExpired({ expiresAtMs }: Token): boolean {
    return this.#clock.now() > expiresAtMs;
  }

  /** Six bits have 64 values: those beyond the letters are thrown again, so that all letters are equally likely. */
  #letter(): number {
    for (;;) {
      const index = Number(this.#random.bits(6));
      if (index < LETTERS.length) return index;
    }
  }
}
