import { type Clock, systemClock } from "@tenure/etcd/runtime";
import { type Election, isTenureLease, type Leader, TenureError } from "tenure";
import { CommandError } from "../exit-codes.ts";
import { assertCandidate, chosen } from "../leadership.ts";
import { leaderJson } from "../output.ts";
import type { Notes } from "../run/log.ts";
import { type Answer, errorAnswer, jsonAnswer } from "./answer.ts";
import type { Service } from "./service.ts";

/** What can be done over HTTP. */
export const ACTIONS = ["resign", "transfer", "pause", "resume"] as const;
export type Action = (typeof ACTIONS)[number];

/** An action is asked for. */
export interface ActionWanted {
  readonly t: "action";
  readonly action: Action;
  readonly service: Service;
  readonly query: URLSearchParams;
}

/** What is needed of an election. */
export type ActedElection = Pick<Election, "name" | "prefix" | "state" | "requestTransfer">;

/** What actions are made from. */
export interface ActionsOptions {
  readonly election: (service: Service) => ActedElection | undefined;
  readonly log: Notes;
  readonly clock?: Clock;
}

/** What came of an action: the answer's code, and what it says besides the action's and the election's name. */
interface Outcome {
  readonly status: number;
  readonly body: { readonly result: "done" | "unchanged" | "under-way"; readonly [key: string]: unknown };
  /** The same for the log. */
  readonly text: string;
}

/** Actions at a time; more are told to come back. */
const MAX_UNDER_WAY = 16;
/** A program may take so long to stop before the answer is that it still does. */
const RESIGN_WAIT_MS = 15_000;
/** Characters of what was sent that a line of the log has. */
const MAX_LOGGED = 500;
/** From leaving the queue, or joining it, to seeing it. */
const QUEUE_WAIT_MS = 5000;
/** How often is looked whether an action has had its effect: nothing tells of all that it may be. */
const LOOK_MS = 20;

/** Does what operators ask for over HTTP, and waits until it has been done. */
export class Actions {
  readonly #election: ActionsOptions["election"];
  readonly #log: Notes;
  readonly #clock: Clock;
  #underWay = 0;
  #closed = false;

  constructor({ election, log, clock = systemClock }: ActionsOptions) {
    this.#election = election;
    this.#log = log;
    this.#clock = clock;
  }

  /** Waits for no effect any more. */
  close(): void {
    this.#closed = true;
  }

  /** @param who who asks, for the log */
  async perform(wanted: ActionWanted, who: string): Promise<Answer> {
    if (this.#underWay >= MAX_UNDER_WAY) {
      return errorAnswer(429, "too many actions are under way", { "Retry-After": "1" });
    }
    const { action, service } = wanted;
    if (service.control.ending) return errorAnswer(503, "this service is being stopped here", { "Retry-After": "1" });
    this.#log.note(`HTTP: ${who} asks for ${action} of ${service.name}${targetOf(wanted)}`);
    this.#underWay++;
    try {
      const { status, body, text } = await service.control.during(this.#perform(wanted));
      this.#log.note(`HTTP: ${action} of ${service.name}: ${text}`);
      return jsonAnswer(status, { action, election: service.name, ...body });
    } catch (error) {
      const answer = failure(error);
      this.#log.note(
        `HTTP: ${action} of ${service.name}: refused with ${answer.status}: ${shortened(messageOf(error))}`,
      );
      return answer;
    } finally {
      this.#underWay--;
    }
  }

  #perform({ action, service, query }: ActionWanted): Promise<Outcome> {
    switch (action) {
      case "resign":
        return this.#resign(service);
      case "transfer":
        return this.#transfer(service, query);
      case "pause":
        return this.#pause(service);
      case "resume":
        return this.#resume(service);
    }
  }

  /** The program is stopped, then the key deleted, so that the next in the queue leads. */
  async #resign(service: Service): Promise<Outcome> {
    const term = service.term;
    if (term === undefined) throw new Refused(409, "this node does not lead");
    const { candidates } = await this.#electionOf(service).state();
    const [first, next] = candidates;
    if (first?.key !== term.key) throw new Refused(409, "this node does not lead any more");
    if (next === undefined) throw new Refused(409, "nobody else stands: there would be no leader");
    // The queue was read for this term, not for one that has begun meanwhile.
    if (service.term !== term || !service.control.stepDown("an operator has this node make way")) {
      throw new Refused(409, "the term has ended meanwhile");
    }
    const over = (): boolean => service.term?.key !== term.key && service.leader?.key !== term.key;
    const before = leaderJson(first);
    if (!(await this.#comes(over, RESIGN_WAIT_MS))) {
      return { status: 202, body: { result: "under-way", before }, text: "the program still stops" };
    }
    const { leader } = service;
    const body = { result: "done", before, leader: leader && leaderJson(leader) } as const;
    return { status: 200, body, text: `done; ${leader === null ? "nobody" : leader.value} leads` };
  }

  /** Wherever the leader runs: it is asked by way of the store, as `tenure transfer` does. */
  async #transfer(service: Service, query: URLSearchParams): Promise<Outcome> {
    const [to, ...more] = query.getAll("to");
    if (to === undefined || to === "" || more.length > 0) {
      throw new Refused(400, "say whom to transfer to, once, by key or value: ?to=node-b");
    }
    const election = this.#electionOf(service);
    const { candidates } = await election.state();
    const [from] = candidates;
    if (from === undefined) throw new Refused(409, "nobody leads");
    assertCandidate(election, from);
    const target = chosen(candidates, to, election);
    const leader = leaderJson(target);
    if (target === from) return { status: 200, body: { result: "unchanged", leader }, text: "it leads already" };
    await election.requestTransfer(target.key);
    const skipped = candidates.slice(1, candidates.indexOf(target)).map(({ key }) => key);
    const body = { result: "done", before: leaderJson(from), leader, skipped, ...unnoticed(from) } as const;
    return { status: 200, body, text: `done; ${target.value} leads` };
  }

  /** Out of the queue; a term that this node has is not touched. */
  async #pause(service: Service): Promise<Outcome> {
    const election = this.#electionOf(service);
    const changed = !service.paused;
    service.control.paused.set(true);
    const out = await this.#comes(() => service.role !== "standby", QUEUE_WAIT_MS);
    const leads = service.term !== undefined;
    const left = leads || (out && (await hasLeft(election)));
    const message = leads ? { message: "it leads on until its term ends; resign has it make way" } : {};
    const body = {
      result: resultOf(left, changed),
      paused: true,
      role: service.role,
      phase: service.phase,
      ...message,
    };
    const text = leads ? "done; it leads on until its term ends" : left ? "done" : "it still leaves the queue";
    return { status: left ? 200 : 202, body, text };
  }

  async #resume(service: Service): Promise<Outcome> {
    const changed = service.paused;
    service.control.paused.set(false);
    const back = await this.#comes(() => service.ready, QUEUE_WAIT_MS);
    const { role, phase, eligible, health } = service;
    const body = { result: resultOf(back, changed), paused: false, role, phase, eligible, health };
    return { status: back ? 200 : 202, body, text: back ? "done" : `not in the queue yet; its health: ${health}` };
  }

  #electionOf(service: Service): ActedElection {
    const election = this.#election(service);
    if (election === undefined) throw new Refused(404, "this service has been taken out");
    return election;
  }

  /** Waits until something is so. Returns whether it came to that in time. */
  async #comes(condition: () => boolean, limitMs: number): Promise<boolean> {
    const giveUpAt = this.#clock.now() + limitMs;
    while (!condition()) {
      if (this.#closed || this.#clock.now() >= giveUpAt) return false;
      await new Promise<void>((resolve) => void this.#clock.after(LOOK_MS, resolve));
    }
    return true;
  }
}

/** Whether etcd says so: where it does not answer our key may stand until its lease ends. */
async function hasLeft(election: ActedElection): Promise<boolean> {
  try {
    const { candidates } = await election.state({ timeoutMs: QUEUE_WAIT_MS });
    return candidates.every(({ self }) => !self);
  } catch {
    return false;
  }
}

/** An action that cannot be done as things are. */
class Refused extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

function failure(error: unknown): Answer {
  const message = messageOf(error);
  if (error instanceof Refused) return errorAnswer(error.status, message);
  if (error instanceof CommandError) return errorAnswer(409, message);
  switch (TenureError.from(error).code) {
    case "invalid-argument":
      return errorAnswer(409, message);
    case "unavailable":
      return errorAnswer(503, message, { "Retry-After": "1" });
    case "deadline-exceeded":
      return errorAnswer(504, message);
    default:
      return errorAnswer(500, message);
  }
}

function messageOf(error: unknown): string {
  if (error instanceof Refused || error instanceof CommandError) return error.message;
  return TenureError.from(error).message;
}

function resultOf(done: boolean, changed: boolean): Outcome["body"]["result"] {
  return done ? (changed ? "done" : "unchanged") : "under-way";
}

/** Other clients do not look at their own key. */
function unnoticed({ key, leaseId }: Leader): { readonly warning?: string } {
  return isTenureLease(leaseId) ? {} : { warning: `${key} is not a Tenure node's: its program may go on` };
}

/** For the log: what was sent is repeated in it. */
function shortened(text: string): string {
  return text.length <= MAX_LOGGED ? text : `${text.slice(0, MAX_LOGGED)}…`;
}

function targetOf({ action, query }: ActionWanted): string {
  const to = action === "transfer" ? query.get("to") : null;
  return to === null ? "" : ` to ${JSON.stringify(shortened(to))}`;
}
