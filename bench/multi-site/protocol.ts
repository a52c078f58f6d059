/** How a node is started: its only argument, as JSON. */
export interface NodeConfig {
  /** All members, as this node reaches them. */
  readonly endpoints: readonly string[];
  /** Clients of the library in this process, each with leases of its own. */
  readonly seats: number;
}

/** What a node is told to do, a JSON object a line on its stdin. */
export type Order =
  /** Campaigns so often with a session that is there already, and resigns each time. */
  | { readonly do: "campaign"; readonly rounds: number }
  /** The same with a new client each time, which is given these endpoints. */
  | { readonly do: "campaign-from-nothing"; readonly rounds: number; readonly endpoints: readonly string[] }
  /** Stands for an election, once. */
  | { readonly do: "stand"; readonly seat: number; readonly election: string; readonly ttlMs: number }
  | { readonly do: "resign"; readonly election: string }
  /** Writes again and again until told otherwise, whatever becomes of the writes before. */
  | { readonly do: "write"; readonly everyMs: number }
  | { readonly do: "write-no-more" };

/** What a node tells, a JSON object a line on its stdout. Times are milliseconds by the machine's monotonic clock. */
export type Line =
  /** It is ready for orders. */
  | { readonly t: "ready" }
  /** An order is carried out; `values` are its measurements in milliseconds. */
  | { readonly t: "done"; readonly id: number; readonly values: readonly number[] }
  | { readonly t: "failed"; readonly id: number; readonly reason: string }
  /** Its key is in the queue. */
  | { readonly t: "queued"; readonly election: string; readonly at: number }
  | { readonly t: "elected"; readonly election: string; readonly at: number }
  | { readonly t: "resigns"; readonly election: string; readonly at: number }
  | { readonly t: "over"; readonly election: string; readonly at: number }
  /** A keep-alive was answered, with so much left of the lease. */
  | {
      readonly t: "kept";
      readonly ttlMs: number;
      readonly at: number;
      readonly roundTripMs: number;
      readonly leftMs: number;
    }
  | { readonly t: "wrote"; readonly at: number };

/** Milliseconds by the monotonic clock, which all processes of a machine share. */
export function now(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
