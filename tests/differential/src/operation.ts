import type { ServerKind } from "./servers.ts";

/** What JSON can say. Bytes are text with one character a byte; whole numbers beyond 2^53 are text. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** A message in that form: fields by their names in TypeScript, without those that have their default. */
export type JsonMessage = Readonly<Record<string, Json>>;

/** Over which connection a call goes, and with whose token, like `token:u1`. */
interface Caller {
  readonly on: number;
  readonly by?: string;
}

/** A unary call over one of the connections; `as` names the lease or the token that it gives. */
export type CallOperation = Caller & { readonly call: string; readonly request: JsonMessage; readonly as?: string };

/** Starts a call that may wait, under a name; it is under way when `key` is there. */
export interface BeginOperation {
  readonly begin: string;
  readonly call: string;
  readonly request: JsonMessage;
  readonly key: string;
}

/**
 * One step of a script. Revisions count from the empty store, which has 1; those of 0 and less are sent as they are. A
 * lease that the server numbers is known by a name, like `lease:3`.
 */
export type Operation =
  | CallOperation
  | BeginOperation
  /** Waits for the answer to a call that was begun. */
  | { readonly end: string }
  /** Cancels such a call; that is done when its key has gone. */
  | { readonly cancel: string; readonly key: string }
  /** The first answer on a stream of answers. */
  | (Caller & { readonly first: string; readonly request: JsonMessage })
  /** Signs a token with what both servers sign theirs with; numbers count from now, and from the first revision. */
  | { readonly sign: JsonMessage; readonly head: Json; readonly as: string }
  /** Keeps leases alive, one after the other on one stream. */
  | (Caller & { readonly keepAlive: readonly Json[] })
  /** Opens a watch on a stream of its own, and closes it when it is answered. */
  | (Caller & { readonly watchOnce: JsonMessage })
  /** A request on one of the watch streams, which opens with the first one. */
  | { readonly watch: JsonMessage; readonly stream: number }
  /** Ends a watch stream. */
  | { readonly close: number }
  /** Waits until all events have come, and compares them. */
  | { readonly settle: true };

const kinds = ["call", "end", "cancel", "first", "sign", "keepAlive", "watchOnce", "watch", "close", "settle"] as const;

/** A script on lines of its own, to be read and replayed. */
export function scriptText(operations: readonly Operation[]): string {
  return operations.map((operation) => `${JSON.stringify(operation)}\n`).join("");
}

/** What stands above a script for servers that were not just emptied. */
export function headOf(servers: ServerKind): string {
  return servers === "emptied" ? "" : `# servers: ${servers}\n`;
}

/** Which servers a script is for. */
export function serversOf(text: string): ServerKind {
  const [, name] = /^# servers: (fresh|jwt)$/m.exec(text) ?? [];
  return (name as ServerKind | undefined) ?? "emptied";
}

/** Reads what {@link scriptText} wrote; empty lines and those that begin with `#` say nothing. */
export function readScript(text: string): Operation[] {
  const lines = text.split("\n").map((line, index) => ({ line: line.trim(), number: index + 1 }));
  return lines
    .filter(({ line }) => line !== "" && !line.startsWith("#"))
    .map(({ line, number }) => {
      try {
        return asOperation(JSON.parse(line) as unknown);
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        throw new Error(`line ${number} is no operation: ${why}`, { cause: error });
      }
    });
}

function asOperation(value: unknown): Operation {
  if (typeof value !== "object" || value === null) throw new Error("not an object");
  if (!kinds.some((kind) => kind in value)) throw new Error(`none of ${kinds.join(", ")}`);
  return value as Operation;
}
