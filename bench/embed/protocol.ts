/** A server to be measured. */
export type ServerName =
  /** The embedded etcd, in memory. */
  | "embed"
  /** The same with a data directory. */
  | "embed, durable"
  /** etcd without fsync. */
  | "etcd, no fsync"
  /** etcd as it comes. */
  | "etcd, fsync"
  /** A server of node:http2 that answers every call with the same bytes: what no server of Node.js is faster than. */
  | "floor";

/** What one run of the load program does to one server. */
export type Load = LoadBase &
  (
    | {
        readonly do: "puts";
        readonly valueBytes: number;
        /** Calls under way at one time. */
        readonly inFlight: number;
        readonly warmUpMs: number;
        readonly measureMs: number;
      }
    | {
        readonly do: "fan-out";
        readonly watches: number;
        /** How many streams they share. */
        readonly streams: number;
        readonly events: number;
      }
    /** Puts keys until there are so many. */
    | { readonly do: "fill"; readonly from: number; readonly to: number; readonly valueBytes: number }
    | { readonly do: "leases"; readonly leases: number; readonly ttlSeconds: number; readonly measureMs: number }
    /** One put, as soon as the server takes it. */
    | { readonly do: "first-put" }
  );

interface LoadBase {
  readonly endpoint: string;
  /** The server's process, whose use of the machine is read; 0 when it is not asked for. */
  readonly pid: number;
}

/** What a value is counted in. */
export type Unit = "/s" | "ms" | "MB" | "% of a core" | "B";

/** One value that came out. */
export interface Measure {
  readonly what: string;
  readonly unit: Unit;
  readonly value: number;
}
