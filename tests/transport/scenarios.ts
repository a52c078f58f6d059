import { expect, it } from "vitest";
import { settled } from "../support/until.ts";
import { type ClientName, clientNames, connectTo, type TestClient } from "./clients.ts";
import { type Outcome, streamOutcome, unaryOutcome } from "./outcome.ts";
import { type RawConnection, RawServer, type RawStream } from "./raw-server.ts";
import { countingClock } from "./leaks.ts";

/** What one stack reports of a unary call and of a stream: a code, and for streams how many messages came before. */
export interface Report {
  readonly unary?: string;
  readonly stream?: string;
}

/** One misbehaviour of a server, and what the stacks make of it. */
export interface Scenario {
  readonly name: string;
  readonly serve: (stream: RawStream) => void;
  readonly onConnection?: (connection: RawConnection) => void;
  /** What every stack reports. A code of gRPC, which ours translates; for streams a code and a number of messages. */
  readonly unary: string;
  readonly stream: string;
  /** The text of the status, which every stack hands on as it is. */
  readonly text?: string;
  /** What ours says, where there is no status to hand on. */
  readonly says?: RegExp;
  /** What ours says of a failed write. Default: what its code implies. */
  readonly mayHaveApplied?: boolean;
  /** Who reports something else, exactly what, and why that is right, or no concern of ours. */
  readonly ours?: Report & { readonly because: string };
  readonly "connect-node"?: Report & { readonly because: string; readonly anyText?: boolean };
  readonly "grpc-js"?: Report & { readonly because: string; readonly anyText?: boolean };
}

/** Milliseconds that a call may take where its stack would wait for ever. */
const PATIENCE_MS = 2000;
/** The same where it ends by itself, however busy the machine is. */
const PLENTY_MS = 20_000;

/** Makes a test of each scenario: three stacks, each with a unary call and a stream. */
export function compare(scenarios: readonly Scenario[]): void {
  // At the same time, because in some of them somebody waits for a deadline.
  it.concurrent.each(scenarios)("$name", async (scenario) => {
    await Promise.all(
      clientNames.map(async (name) => {
        expect({ of: name, ...(await report(name, scenario)) }).toEqual({ of: name, ...expected(name, scenario) });
      }),
    );
  });
}

async function report(name: ClientName, scenario: Scenario): Promise<Record<string, unknown>> {
  const [{ code: unary, text, mayHaveApplied }, stream] = await Promise.all([
    outcome(name, scenario, unaryOutcome),
    outcome(name, scenario, streamOutcome),
  ]);
  const differs = name !== "ours" && scenario[name]?.anyText === true;
  return {
    unary,
    stream: `${stream.code} ${stream.messages}`,
    ...(scenario.text !== undefined && !differs && { texts: [text, stream.text] }),
    ...(name === "ours" && scenario.says !== undefined && { says: scenario.says.test(text) || text }),
    ...(name === "ours" && scenario.mayHaveApplied !== undefined && { mayHaveApplied }),
  };
}

function expected(name: ClientName, scenario: Scenario): Record<string, unknown> {
  const { text, says, mayHaveApplied } = scenario;
  const [streamCode = "", messages = ""] = scenario.stream.split(" ");
  const translated = name === "ours" ? ourCode : (code: string): string => code;
  const special = scenario[name];
  const differs = name !== "ours" && scenario[name]?.anyText === true;
  return {
    unary: special?.unary ?? translated(scenario.unary),
    stream: special?.stream ?? `${translated(streamCode)} ${messages}`,
    ...(text !== undefined && !differs && { texts: [text, text] }),
    ...(name === "ours" && says !== undefined && { says: true }),
    ...(name === "ours" && mayHaveApplied !== undefined && { mayHaveApplied }),
  };
}

async function outcome(
  name: ClientName,
  scenario: Scenario,
  run: (client: TestClient, limits: { timeoutMs: number }) => Promise<Outcome>,
): Promise<Outcome> {
  const { serve, onConnection } = scenario;
  await using server = await RawServer.start({ onCall: serve, ...(onConnection !== undefined && { onConnection }) });
  const { clock, pending } = countingClock();
  const client = connectTo(name, server.endpoint, clock);
  try {
    const { unary = "", stream = "" } = scenario[name] ?? {};
    const timeoutMs = `${unary} ${stream}`.includes("deadline-exceeded") ? PATIENCE_MS : PLENTY_MS;
    const result = await settled(run(client, { timeoutMs }), {
      what: `end of a call of ${name}`,
      timeoutMs: PLENTY_MS + 5000,
    });
    if (name === "ours") expect(pending(), "timers that outlive their call").toBe(0);
    return result;
  } finally {
    client.close();
  }
}

/** Our codes are fewer: what gRPC's mean to a client of etcd (packages/etcd/src/errors.ts). */
const ourCodes: Readonly<Record<string, string>> = {
  canceled: "unavailable",
  unknown: "internal",
  "already-exists": "failed-precondition",
  aborted: "unavailable",
  "out-of-range": "invalid-argument",
  "data-loss": "internal",
};

function ourCode(code: string): string {
  return ourCodes[code] ?? code;
}
