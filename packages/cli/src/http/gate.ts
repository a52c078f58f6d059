import type { IncomingMessage } from "node:http";
import { type Clock, systemClock } from "@tenure/etcd/runtime";
import type { Notes } from "../run/log.ts";
import { type Answer, errorAnswer } from "./answer.ts";
import { Guesses } from "./guesses.ts";
import type { TokenFile } from "./token-file.ts";

/** What a gate is made from. */
export interface GateOptions {
  /** The secret; undefined: nobody passes. */
  readonly tokens: Pick<TokenFile, "matches"> | undefined;
  readonly log: Notes;
  readonly clock?: Clock;
}

/** What is needed of a request. */
export type Presented = Pick<IncomingMessage, "headers" | "rawHeaders"> & {
  readonly socket: Pick<IncomingMessage["socket"], "remoteAddress">;
};

const CHALLENGE = 'Bearer realm="tenure"';
/** The same is said once in so long. */
const REPEAT_MS = 60_000;

/** Lets those act who know the secret: `Authorization: Bearer SECRET`, in the words of RFC 6750. */
export class Gate {
  readonly #tokens: GateOptions["tokens"];
  readonly #log: Notes;
  readonly #clock: Clock;
  readonly #guesses: Guesses;
  #turn: Promise<unknown> = Promise.resolve();
  /** What is wrong with the file is one of a few texts. */
  readonly #saidAt = new Map<string, number>();

  constructor({ tokens, log, clock = systemClock }: GateOptions) {
    this.#tokens = tokens;
    this.#log = log;
    this.#clock = clock;
    this.#guesses = new Guesses(clock);
  }

  /** Why a request may not act; undefined when it may. */
  async refusalOf(request: Presented): Promise<Answer | undefined> {
    const tokens = this.#tokens;
    if (tokens === undefined) return errorAnswer(403, "actions are off here: --http-token-file allows them");
    const given = request.rawHeaders.filter((name, at) => at % 2 === 0 && name.toLowerCase() === "authorization");
    if (given.length > 1) return unauthorized(400, "invalid_request", "one Authorization header is needed");
    const token = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? "")?.[1];
    if (token === undefined) return unauthorized(401, undefined, "an action needs Authorization: Bearer TOKEN");
    // One at a time: until a token has been looked at nobody knows whether it was a guess.
    const turn = this.#turn.then(() => this.#refusalOfToken(tokens, token, request.socket.remoteAddress ?? ""));
    this.#turn = turn;
    return turn;
  }

  async #refusalOfToken(
    tokens: Pick<TokenFile, "matches">,
    token: string,
    address: string,
  ): Promise<Answer | undefined> {
    if (!this.#guesses.take(address)) {
      this.#say("too-many", `HTTP: too many wrong tokens from ${address}, which has to wait`);
      return errorAnswer(429, "too many wrong tokens from this address", { "Retry-After": "1" });
    }
    try {
      if (!(await tokens.matches(token))) return unauthorized(401, "invalid_token", "this token is wrong");
    } catch (error) {
      this.#guesses.giveBack(address);
      const why = error instanceof Error ? error.message : String(error);
      this.#say(why, `HTTP: actions are off: ${why}`);
      return errorAnswer(503, "the file of --http-token-file cannot be used; see the log of this node");
    }
    this.#guesses.giveBack(address);
    return undefined;
  }

  #say(what: string, text: string): void {
    const now = this.#clock.now();
    if (now - (this.#saidAt.get(what) ?? -Infinity) < REPEAT_MS) return;
    this.#saidAt.set(what, now);
    this.#log.note(text);
  }
}

function unauthorized(status: number, code: string | undefined, error: string): Answer {
  const challenge = code === undefined ? CHALLENGE : `${CHALLENGE}, error="${code}"`;
  return errorAnswer(status, error, { "WWW-Authenticate": challenge });
}
