import { findGoPeer } from "../../../scripts/lib/go.mjs";
import { launch } from "../../support/children.ts";
import { settled } from "../../support/until.ts";
import { childLines } from "./child-lines.ts";
import { candidate, type Candidate, type Observer, type Peer, type PeerKind, SeenValues } from "./peer.ts";

/** Set by a developer whose machine cannot get Go. */
export const skipGo: boolean = process.env["TENURE_SKIP_GO"] === "1";

/** What a command of the Go program says; see `peer.go`. */
export interface GoCommand {
  readonly do:
    | "session"
    | "close"
    | "orphan"
    | "campaign"
    | "proclaim"
    | "resign"
    | "resume"
    | "leader"
    | "observe"
    | "lock"
    | "trylock"
    | "unlock";
  /** A name for the session, which the test chooses. */
  readonly session: string;
  /** As Go's `NewElection` and `NewMutex` take it: without the slash. */
  readonly prefix?: string;
  readonly value?: string;
  readonly key?: string;
  readonly rev?: bigint;
  readonly lease?: bigint;
  readonly ttlSeconds?: number;
}

/** What the Go program answers. */
export interface GoAnswer {
  readonly key: string;
  readonly value: string;
  readonly rev: bigint;
  readonly lease: bigint;
}

/** A running Go program with sessions, elections and mutexes of Go's `concurrency` package. */
export interface GoProcess extends AsyncDisposable {
  /** Carries a command out; rejects with the error that Go's client gave. */
  do(command: GoCommand): Promise<GoAnswer>;
  /** The same for one that waits: `cancel` cancels its context. */
  start(command: GoCommand): { readonly answer: Promise<GoAnswer>; readonly cancel: () => void };
  /** Starts `Election.Observe`; `seen` grows with each leader that Go tells of. */
  observe(session: string, prefix: string): Observer;
  /** The sessions whose `Done` has fired. */
  readonly doneSessions: ReadonlySet<string>;
  readonly kill: () => Promise<void>;
}

interface GoEvent {
  readonly id?: number;
  readonly event: "done" | "failed" | "leader" | "session-done";
  readonly error?: string;
  readonly session?: string;
  readonly key: string;
  readonly value: string;
  readonly rev: string;
  readonly lease: string;
}

const answerTimeoutMs = 15_000;

/** Starts a Go program on a store. */
export async function startGo(endpoint: string): Promise<GoProcess> {
  const child = launch(await findGoPeer(), [endpoint], { env: process.env });
  const waiting = new Map<number, (event: GoEvent) => void>();
  const doneSessions = new Set<string>();
  let ids = 0;
  const output = childLines(child, (line) => {
    const event = JSON.parse(line) as GoEvent;
    if (event.event === "session-done") doneSessions.add(event.session ?? "");
    else waiting.get(event.id ?? 0)?.(event);
  });

  function send(command: object): number {
    const id = ++ids;
    const text = (_: string, value: unknown): unknown => (typeof value === "bigint" ? value.toString() : value);
    child.stdin.write(`${JSON.stringify({ id, ...command }, text)}\n`);
    return id;
  }

  function start(command: GoCommand): { answer: Promise<GoAnswer>; cancel: () => void } {
    const id = send(command);
    const answer = new Promise<GoAnswer>((resolve, reject) => {
      waiting.set(id, ({ event, error, key, value, rev, lease }) => {
        if (event === "failed") reject(new Error(error));
        else resolve({ key, value, rev: BigInt(rev), lease: BigInt(lease) });
      });
    });
    answer.catch(() => undefined); // who waits for it hears of it
    return { answer, cancel: () => void send({ do: "cancel", target: id }) };
  }

  return {
    do: (command) =>
      settled(start(command).answer, { timeoutMs: answerTimeoutMs, what: `answer of Go to ${command.do}` }),
    start,
    observe: (session, prefix) => {
      const values = new SeenValues();
      waiting.set(send({ do: "observe", session, prefix }), (event) => {
        if (event.event === "leader") values.seen.push(event.value);
      });
      return values;
    },
    doneSessions,
    kill: output.kill,
    [Symbol.asyncDispose]: output.kill,
  };
}

/** Go's `concurrency.Election`; each candidate is a process of its own. */
export const goKind: PeerKind = {
  name: "Go concurrency",
  skip: skipGo,
  prepare: findGoPeer,
  start: async (etcd, prefix) => {
    const onlooker = await startGo(etcd.endpoint);
    const processes = [onlooker];
    await onlooker.do({ do: "session", session: "s", ttlSeconds: 30 });
    return {
      stand: async (value) => {
        const go = await startGo(etcd.endpoint);
        processes.push(go);
        return stand(go, prefix, value);
      },
      observe: () => Promise.resolve(onlooker.observe("s", prefix)),
      leader: async () => {
        const { key, value } = await onlooker.do({ do: "leader", session: "s", prefix });
        return key === "" ? null : value;
      },
      [Symbol.asyncDispose]: async () => void (await Promise.all(processes.map((go) => go.kill()))),
    } satisfies Peer;
  },
};

async function stand(go: GoProcess, prefix: string, value: string): Promise<Candidate> {
  await go.do({ do: "session", session: "s", ttlSeconds: 30 });
  const { answer, cancel } = go.start({ do: "campaign", session: "s", prefix, value });
  const standing = candidate(value, answer, {
    leave: async () => {
      if (standing.isElected) await go.do({ do: "resign", session: "s", prefix });
      else {
        cancel();
        // Campaign deletes the key before it gives its context's error.
        await settled(
          answer.catch(() => undefined),
          { what: "end of the campaign" },
        );
      }
      await go.do({ do: "close", session: "s" });
      await go.kill();
    },
    kill: () => go.kill(),
  });
  return standing;
}
