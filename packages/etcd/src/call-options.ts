import type { CallOptions as ConnectCallOptions } from "@connectrpc/connect";
import { EtcdError } from "./errors.ts";

/** Every call takes these last. */
export interface CallOptions {
  /** Ends the call with code `aborted`. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds until the call ends with code `deadline-exceeded`. Default 5000. */
  readonly timeoutMs?: number | undefined;
}

/** The same for Connect, which takes no undefined. */
export function rpcOptions({ signal, timeoutMs }: CallOptions): ConnectCallOptions {
  return { ...(signal !== undefined && { signal }), ...(timeoutMs !== undefined && { timeoutMs }) };
}

/** Awaits a call and gives whatever it throws our one error class. */
export async function normalized<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw EtcdError.from(error);
  }
}
