import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { type Meter, type MeterProvider, metrics } from "@opentelemetry/api";
import type { ConnectionClosedEvent, ConnectionOpenedEvent, RpcEvent, RpcRetriedEvent } from "@tenure/etcd";
import type {
  KeepAliveAnsweredEvent,
  SessionEndedEvent,
  TermElectedEvent,
  TermEndedEvent,
  WatchMovedEvent,
} from "../events.ts";

/** Settings of {@link instrument}. */
export interface InstrumentOptions {
  /** Where the metrics go. Default: the one that the program has registered. */
  readonly meterProvider?: MeterProvider | undefined;
}

/** What is done with the messages of a channel. */
type Listener = (message: unknown) => void;

const NAME = "tenure";
/** In seconds: from a round trip on one machine to a lease's whole life. */
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/**
 * Counts and measures what this process does from now on, for all clients in it.
 *
 * The metrics are `tenure.leader` (1 for each election this process leads), `tenure.terms`, `tenure.term.endings`,
 * `tenure.session.endings`, `tenure.session.doubts`, `tenure.keep_alive.duration` and `tenure.keep_alive.margin` in
 * seconds, `tenure.keep_alive.silences`, `tenure.watch.moves`, `tenure.rpcs`, `tenure.rpc.retries`,
 * `tenure.connections` and `tenure.connection.endings`: docs/diagnostics.md has their attributes.
 *
 * @returns a function that ends it
 */
export function instrument({ meterProvider = metrics.getMeterProvider() }: InstrumentOptions = {}): () => void {
  const meter = meterProvider.getMeter(NAME);
  const listeners = new Map<string, Listener>([
    ...termListeners(meter),
    ...sessionListeners(meter),
    ...transportListeners(meter),
  ]);
  for (const [name, listener] of listeners) subscribe(name, listener);
  return () => {
    for (const [name, listener] of listeners) unsubscribe(name, listener);
  };
}

function termListeners(meter: Meter): [string, Listener][] {
  const leading = meter.createUpDownCounter("tenure.leader", { description: "1 while this process leads" });
  const terms = meter.createCounter("tenure.terms", { description: "Terms this process was elected to" });
  const endings = meter.createCounter("tenure.term.endings", { description: "Terms that ended, by reason" });
  const moves = meter.createCounter("tenure.watch.moves", { description: "Watches given up for another, by reason" });
  return [
    on<TermElectedEvent>("tenure:term:elected", ({ prefix }) => {
      const election = { "tenure.election": electionOf(prefix) };
      terms.add(1, election);
      leading.add(1, election);
    }),
    on<TermEndedEvent>("tenure:term:ended", ({ prefix, code, sessionEnd }) => {
      const election = { "tenure.election": electionOf(prefix) };
      endings.add(1, { ...election, "tenure.reason": sessionEnd ?? code });
      leading.add(-1, election);
    }),
    on<WatchMovedEvent>("tenure:watch:moved", ({ prefix, why }) => {
      moves.add(1, { "tenure.election": electionOf(prefix), "tenure.reason": why });
    }),
  ];
}

function sessionListeners(meter: Meter): [string, Listener][] {
  const endings = meter.createCounter("tenure.session.endings", { description: "Leases that ended, by reason" });
  const doubts = meter.createCounter("tenure.session.doubts", { description: "Stalls that put a lease in doubt" });
  const silences = meter.createCounter("tenure.keep_alive.silences", { description: "Keep-alives overdue" });
  const duration = seconds(meter, "tenure.keep_alive.duration", "From a keep-alive to its answer");
  const margin = seconds(meter, "tenure.keep_alive.margin", "What was left of a lease when it was renewed");
  return [
    on<SessionEndedEvent>("tenure:session:ended", ({ why }) => endings.add(1, { "tenure.reason": why })),
    on("tenure:session:doubted", () => doubts.add(1)),
    on("tenure:keep-alive:silent", () => silences.add(1)),
    on<KeepAliveAnsweredEvent>("tenure:keep-alive:answered", ({ roundTripMs, leftMs }) => {
      duration.record(roundTripMs / 1000);
      margin.record(leftMs / 1000);
    }),
  ];
}

function transportListeners(meter: Meter): [string, Listener][] {
  const rpcs = meter.createCounter("tenure.rpcs", { description: "Requests to etcd" });
  const retries = meter.createCounter("tenure.rpc.retries", { description: "Requests that went to another endpoint" });
  const connections = meter.createUpDownCounter("tenure.connections", {
    description: "Connections to etcd that stand",
  });
  const endings = meter.createCounter("tenure.connection.endings", {
    description: "Connections that ended, by reason",
  });
  return [
    on<RpcEvent>("tenure:rpc", ({ method, endpoint }) => {
      rpcs.add(1, { "rpc.method": method, "server.address": endpoint });
    }),
    on<RpcRetriedEvent>("tenure:rpc:retried", ({ method, failedEndpoint }) => {
      retries.add(1, { "rpc.method": method, "server.address": failedEndpoint });
    }),
    on<ConnectionOpenedEvent>("tenure:connection:opened", ({ endpoint }) => {
      connections.add(1, { "server.address": endpoint });
    }),
    on<ConnectionClosedEvent>("tenure:connection:closed", ({ endpoint, why }) => {
      connections.add(-1, { "server.address": endpoint });
      endings.add(1, { "server.address": endpoint, "tenure.reason": why });
    }),
  ];
}

function on<T>(channel: string, listener: (event: T) => void): [string, Listener] {
  return [channel, (message) => listener(message as T)];
}

function seconds(meter: Meter, name: string, description: string) {
  return meter.createHistogram(name, { description, unit: "s", advice: { explicitBucketBoundaries: SECONDS } });
}

/** Namespace and name, as people know them. */
function electionOf(prefix: string): string {
  return prefix.replace(/\/$/, "");
}
