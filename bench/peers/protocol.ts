/** How the process of a peer is started: its only argument, as JSON. */
export interface PeerConfig {
  /** Which one; the Go program knows only itself. */
  readonly peer: "tenure" | "etcd3" | "floor" | "go";
  readonly endpoint: string;
  readonly ttlSeconds: number;
  /** Whether a second process revokes its leases when it dies, where it can have one. */
  readonly guard?: boolean;
}

/** With 5,000 requests at once etcd refuses what else comes. */
export const holdsAtOnce = 1_000;

/** What a peer is told to do, a JSON object a line on its stdin. A seat is a candidate with a session of its own. */
export type Order =
  /** Makes a seat's session, where the peer can have one before it campaigns. */
  | { readonly do: "ready"; readonly seat: number }
  /** Campaigns so often, each time in an empty election, and resigns. Values: milliseconds to be elected. */
  | { readonly do: "campaign"; readonly rounds: number }
  /** The same with a new connection and a new session each time. */
  | { readonly do: "from-nothing"; readonly rounds: number }
  /** Begins to campaign; done at once. Value: when. */
  | { readonly do: "stand"; readonly election: string; readonly seat: number; readonly value: string }
  /** Resigns where the seat was elected. Value: when it began to. */
  | { readonly do: "resign"; readonly election: string; readonly seat: number }
  /** Proclaims so often where the seat was elected. Values: when each began, and when it was done. */
  | {
      readonly do: "proclaim";
      readonly election: string;
      readonly seat: number;
      readonly rounds: number;
      readonly gapMs: number;
    }
  /** Proclaims once where the seat was elected. Value: when it began to. */
  | { readonly do: "proclaim-one"; readonly election: string; readonly seat: number; readonly value: string }
  | { readonly do: "observe"; readonly election: string }
  /** Has so many observers look at one election; done when all have begun to. */
  | { readonly do: "observe-many"; readonly election: string; readonly observers: number }
  /** Wins so many elections, all at once or `holdsAtOnce` at a time, and holds them. Value: milliseconds. */
  | { readonly do: "hold"; readonly elections: number; readonly shared: boolean }
  /** So many candidates stand in one election; done at once. */
  | { readonly do: "queue"; readonly election: string; readonly candidates: number }
  /** From now on each of those resigns as soon as it is elected. Value: when. */
  | { readonly do: "drain"; readonly election: string };

/** What a peer tells, a JSON object a line on its stdout. Times are milliseconds by the machine's monotonic clock. */
export type Line =
  | { readonly t: "done"; readonly id: number; readonly values?: readonly number[] | null }
  | { readonly t: "failed"; readonly id: number; readonly reason: string }
  | { readonly t: "elected"; readonly election: string; readonly seat: number; readonly at: number }
  /** An observer sees another leader, or another value of the same one. */
  | { readonly t: "leader"; readonly election: string; readonly value: string; readonly at: number }
  /** The last of many observers has told of a value. */
  | { readonly t: "heard"; readonly election: string; readonly value: string; readonly at: number }
  /** The last candidate of a queue has resigned. */
  | { readonly t: "drained"; readonly election: string; readonly at: number };

/** Milliseconds by the monotonic clock, which all processes of a machine share. */
export function now(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
