import { Code, ConnectError } from "@connectrpc/connect";
import { status as GrpcStatus } from "@grpc/grpc-js";
import { EtcdError } from "../../packages/etcd/src/errors.ts";
import { type Limits, type TestClient } from "./clients.ts";

/** How a call ended. */
export interface Outcome {
  /** gRPC's name of the status, or our own code where the stack is ours. */
  readonly code: string;
  readonly text: string;
  /** How many messages came before the end. */
  readonly messages: number;
  /** What ours says of a write that failed. */
  readonly mayHaveApplied?: boolean;
}

/** Runs a unary call to its end. */
export async function unaryOutcome(client: TestClient, limits: Limits = {}): Promise<Outcome> {
  try {
    await client.put(Buffer.from("v"), limits);
    return { code: "ok", text: "", messages: 1 };
  } catch (error) {
    return { ...ending(error), messages: 0 };
  }
}

/** Sends one message on a stream, closes our side and reads to the end. */
export async function streamOutcome(client: TestClient, limits: Limits = {}): Promise<Outcome> {
  const stream = client.keepAlive(limits);
  stream.send(1n);
  stream.halfClose();
  return await readToEnd(stream.answers);
}

/** Reads a stream to its end. */
export async function readToEnd(answers: AsyncIterator<bigint>): Promise<Outcome> {
  let messages = 0;
  try {
    for (; (await answers.next()).done !== true; messages++);
    return { code: "ok", text: "", messages };
  } catch (error) {
    return { ...ending(error), messages };
  }
}

/** The code and text of what a stack threw. */
export function ending(error: unknown): Omit<Outcome, "messages"> {
  if (error instanceof EtcdError) {
    const { code, message, mayHaveApplied } = error;
    return { code, text: message.replace(/^http:\S+: /, ""), mayHaveApplied };
  }
  if (error instanceof ConnectError) return { code: kebab(Code[error.code]), text: error.rawMessage };
  if (!(error instanceof Error) || !("details" in error)) throw error;
  // grpc-js, which does not always know a code or a text.
  const { code, details = "" } = error as { code?: number; details?: string };
  return { code: kebab((code === undefined ? undefined : GrpcStatus[code]) ?? String(code)), text: details };
}

function kebab(name: string): string {
  if (name === "NaN") return name;
  const words = /[a-z]/.test(name) ? name.replace(/(?<=[a-z])[A-Z]/g, "-$&") : name.replaceAll("_", "-");
  return words.toLowerCase().replace("cancelled", "canceled");
}
