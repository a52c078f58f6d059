import type { Clock } from "@tenure/etcd/runtime";

import { JwtKey, type JwtKeyOptions } from "./auth-jwt-key.ts";
import type { AuthInfo, AuthTokens, TokenSubject } from "./auth-tokens.ts";
import { EtcdServerError, GrpcCode } from "./errors.ts";
import { DEFAULT_TOKEN_TTL_MS } from "./simple-token.ts";

/** How tokens are signed, as etcd's `--auth-token jwt,...` has it. */
export interface JwtOptions extends JwtKeyOptions {
  /** How long a token lives, in milliseconds; whole seconds count. From 1000 on. Default: 300,000. */
  readonly ttlMs?: number | undefined;
}

/** Base64 as in URLs, without padding. */
const SEGMENT = /^[A-Za-z0-9_-]*$/;

/**
 * Signed tokens (JWT): whoever has the key can make and read them, and nobody has to remember them. Each carries the
 * revision of the auth store at which it was made, and is of no use once users or roles change.
 */
export class JwtTokens implements AuthTokens {
  readonly #clock: Clock;
  readonly #key: JwtKey;
  readonly #ttlSeconds: number;
  /** Tokens that end at this second of the wall clock, or before it, are over. */
  #endedSeconds = 0;

  /**
   * @throws Error when the keys cannot be used
   * @throws RangeError for a TTL below a second
   */
  constructor(clock: Clock, options: JwtOptions) {
    const { ttlMs = DEFAULT_TOKEN_TTL_MS } = options;
    if (!(ttlMs >= 1000)) throw new RangeError(`the ttl of tokens must be a second or more, not ${ttlMs} ms`);
    this.#clock = clock;
    this.#key = new JwtKey(options);
    this.#ttlSeconds = Math.floor(ttlMs / 1000);
  }

  assign({ user, revision }: TokenSubject): string {
    if (!this.#key.canSign) {
      throw new EtcdServerError(GrpcCode.unknown, "auth: token signing attempted with verify-only key");
    }
    const exp = Math.max(this.#nowSeconds() + this.#ttlSeconds, this.#endedSeconds + 1);
    const head = segmentOf({ alg: this.#key.method, typ: "JWT" });
    const signed = `${head}.${segmentOf({ exp, revision: Number(revision), username: user })}`;
    return `${signed}.${this.#key.sign(signed).toString("base64url")}`;
  }

  infoOf(token: string): AuthInfo | undefined {
    const [head = "", body = "", signature = "", ...more] = token.split(".");
    if (more.length > 0 || !SEGMENT.test(signature)) return undefined;
    // The token must not choose how it is checked.
    if (objectOf(head)?.["alg"] !== this.#key.method) return undefined;
    if (!this.#key.verify(`${head}.${body}`, Buffer.from(signature, "base64url"))) return undefined;
    const claims = objectOf(body);
    if (claims === undefined || !this.#isInTime(claims)) return undefined;
    const { username, revision } = claims;
    if (typeof username !== "string" || typeof revision !== "number" || !Number.isFinite(revision)) return undefined;
    return { user: username, revision: BigInt.asUintN(64, BigInt(Math.trunc(revision))) };
  }

  /** What was signed stays signed; its revision is an old one then. */
  invalidateUser(): void {}

  disable(): void {}

  expireAll(): void {
    this.#endedSeconds = this.#nowSeconds() + this.#ttlSeconds;
  }

  tick(): void {}

  /** As etcd: a claim about time that is there must be a number, and 0 says nothing. */
  #isInTime(claims: Readonly<Record<string, unknown>>): boolean {
    const now = this.#nowSeconds();
    const holds = (name: string, test: (at: number) => boolean): boolean => {
      const at = claims[name];
      return at === undefined || at === 0 || (typeof at === "number" && test(at));
    };
    return (
      holds("exp", (at) => now < at && at > this.#endedSeconds) &&
      holds("iat", (at) => now >= at) &&
      holds("nbf", (at) => now >= at)
    );
  }

  #nowSeconds(): number {
    return Math.floor(this.#clock.date().getTime() / 1000);
  }
}

function segmentOf(json: Readonly<Record<string, unknown>>): string {
  return Buffer.from(JSON.stringify(json)).toString("base64url");
}

/** The object that a segment holds; undefined when it holds none. */
function objectOf(segment: string): Readonly<Record<string, unknown>> | undefined {
  if (!SEGMENT.test(segment)) return undefined;
  try {
    const json: unknown = JSON.parse(Buffer.from(segment, "base64url").toString());
    return typeof json === "object" && json !== null ? { ...json } : undefined;
  } catch {
    return undefined; // no JSON
  }
}
