/** How the process of a gRPC stack is started: its only argument, as JSON. */
export interface StackConfig {
  readonly stack: StackName;
  readonly endpoint: string;
}

/** Tenure's own, two others, and the bare requests over node:http2. */
export type StackName = "tenure" | "grpc-js" | "connect-node" | "node:http2";

/** What a stack is told to do, a JSON object a line on its stdin. Its answers are those of a peer. */
export type StackOrder =
  /** Puts a key so often, so many at a time. Values: milliseconds in all, of CPU in all, and of each call. */
  | { readonly do: "calls"; readonly calls: number; readonly inFlight: number }
  /** From now on puts a key again and again, one call after the other, each with a deadline; done at once. */
  | { readonly do: "keep-calling"; readonly timeoutMs: number }
  /** Waits for an answer that came after a time. Value: when it came. */
  | { readonly do: "answered-after"; readonly at: number }
  /** Waits for a call that began after a time and failed. Value: how long it took. */
  | { readonly do: "failed-after"; readonly at: number };
