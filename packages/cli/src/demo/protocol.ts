import type { ConnectOptions } from "tenure";

/** What the demo tells one of its nodes first. */
export interface StartMessage {
  readonly t: "start";
  readonly connect: Pick<
    ConnectOptions,
    "endpoints" | "discoverySrv" | "discoverMembers" | "namespace" | "tls" | "auth"
  >;
  readonly election: string;
  readonly value: string;
  readonly ttlMs: number;
  /** Milliseconds of one unit of work. */
  readonly unitMs: number;
}

/** What the demo tells a leader whose term is to end by resigning. */
export interface ResignMessage {
  readonly t: "resign";
}

export type DemoMessage = StartMessage | ResignMessage;

/**
 * What a node tells the demo. `atNs` is the machine's monotonic clock, the same in every process.
 */
export type NodeMessage =
  | { readonly t: "elected"; readonly token: string; readonly atNs: string }
  | { readonly t: "worked"; readonly unit: number }
  | { readonly t: "resigning"; readonly atNs: string }
  | { readonly t: "lost"; readonly reason: string }
  | { readonly t: "failed"; readonly reason: string };

/** Nanoseconds of the monotonic clock that all processes of a machine share. */
export function nowNs(): bigint {
  return process.hrtime.bigint();
}
