import type { Readable } from "node:stream";
import type { EtcdClientOptions } from "@tenure/etcd";

/** How a guard reaches the store. */
export type GuardedStore = Pick<EtcdClientOptions, "endpoints" | "discoverySrv" | "discoverMembers" | "tls" | "auth">;

/** From a process to its guard: a JSON object a line. */
export type GuardMessage =
  /** Whom to guard, and how to reach the store. It may hold a password, so it comes this way and no other. */
  | { readonly t: "process"; readonly pid: number; readonly store: GuardedStore }
  /** A lease to revoke when the process is dead, in hex. */
  | { readonly t: "lease"; readonly id: string; readonly ttlMs: number }
  /** It needs no revocation any more. */
  | { readonly t: "released"; readonly id: string }
  /** The process has no use for its guard any more. */
  | { readonly t: "done" };

/** What is added by who guards more than leases; anything that JSON can hold. */
export interface OtherMessage {
  readonly t: string;
  readonly [field: string]: unknown;
}

/** Hands on every whole line of a pipe; resolves when it has ended, however that came. */
export async function readLines(pipe: Readable | null, onLine: (line: string) => void): Promise<void> {
  if (pipe === null) return;
  let rest = "";
  pipe.setEncoding("utf8");
  pipe.on("data", (chunk: string) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) onLine(line);
  });
  await new Promise<void>((resolve) => {
    for (const event of ["end", "error", "close"]) pipe.once(event, () => resolve());
  });
}
