import { readdirSync } from "node:fs";
import { systemClock } from "@tenure/etcd/runtime";
import type { LoopLag } from "./loop-lag.ts";
import { labelText, MetricsPage, type MetricType } from "./metric-text.ts";
import type { Service } from "./service.ts";
import type { StoreFacts } from "./store-facts.ts";

/** What the metrics tell of. */
export interface Measured {
  readonly services: readonly Service[];
  readonly store: StoreFacts;
  readonly lag: LoopLag;
  /** Clients that listen to events. */
  readonly listeners: () => number;
  readonly version: string;
}

/** About what a page takes for the node itself, and for each service. */
const NODE_BYTES = 16 * 1024;
const SERVICE_BYTES = 8 * 1024;

/** All metrics as they are at this instant, as bytes of text; docs/metrics.md explains each. */
export function metricsText(measured: Measured): Buffer {
  const page = new MetricsPage(NODE_BYTES + measured.services.length * SERVICE_BYTES);
  // Each service looks at the clock for most of its samples.
  systemClock.atOneReading(() => {
    ofServices(page, measured.services);
    ofStore(page, measured.store);
    ofProcess(page, measured);
  });
  return page.bytes;
}

function ofServices(page: MetricsPage, services: readonly Service[]): void {
  const rows = services.map((service) => ({ service, labels: labelText({ election: service.name }) }));
  const each = (name: string, type: MetricType, help: string, value: (service: Service) => number): void => {
    page.family(name, type, help);
    for (const { service, labels } of rows) page.sample(value(service), labels);
  };
  each("tenure_is_leader", "gauge", "1 while this node leads and its program runs, as /leader answers, else 0.", (s) =>
    s.role === "leader" ? 1 : 0,
  );
  each("tenure_is_standby", "gauge", "1 while this node is in the queue, as /standby answers, else 0.", (s) =>
    s.role === "standby" ? 1 : 0,
  );
  each("tenure_term", "gauge", "Fencing token of the leader that this node sees, 0 while it sees none.", (s) =>
    Number(s.leader?.revision ?? 0),
  );
  each(
    "tenure_lease_ttl_seconds",
    "gauge",
    "TTL of the lease that this node leads on, 0 while it has no term.",
    (s) => (s.term?.ttlMs ?? 0) / 1000,
  );
  each(
    "tenure_lease_remaining_seconds",
    "gauge",
    "For how long the lease that this node leads on is proven, 0 while it has no term.",
    (s) => (s.term?.provenForMs ?? 0) / 1000,
  );
  each(
    "tenure_candidates",
    "gauge",
    "Nodes in the queue as this node sees it, the leader included.",
    (s) => s.candidates,
  );
  each("tenure_eligible", "gauge", "1 while this node may stand: healthy, and not paused, else 0.", (s) =>
    s.eligible ? 1 : 0,
  );
  each("tenure_paused", "gauge", "1 while an operator has this node not stand, else 0.", (s) => (s.paused ? 1 : 0));
  each(
    "tenure_healthy",
    "gauge",
    "1 while the checks of this service's health succeed, or there are none, else 0.",
    (s) => (s.health === "failing" ? 0 : 1),
  );
  each("tenure_terms_total", "counter", "Terms that this node was elected to.", (s) => s.terms);
  page.family("tenure_transitions_total", "counter", "Ends of this node's terms, by reason.");
  for (const { service, labels } of rows) {
    for (const [reason, count] of service.ends) page.sample(count, `${labels},reason="${reason}"`);
  }
  each("tenure_child_up", "gauge", "1 while the program runs and may be sent traffic, else 0.", (s) =>
    s.phase === "leading" ? 1 : 0,
  );
  each("tenure_child_restarts_total", "counter", "Restarts of the program within a term.", (s) => s.restarts);
  each(
    "tenure_no_leader_seconds_total",
    "counter",
    "Seconds for which this node saw nobody lead.",
    (s) => s.vacantMs / 1000,
  );
  page.family("tenure_hook_duration_seconds", "histogram", "How long hooks took, by what they came to.");
  for (const { service } of rows) {
    for (const { labels, seconds } of service.hooks.times) page.histogram(seconds, labels);
  }
  page.family("tenure_hook_failures_total", "counter", "Hooks that failed, or took too long.");
  for (const { service } of rows) {
    for (const { labels, count } of service.hooks.failures) page.sample(count, labels);
  }
  page.family(
    "tenure_failover_duration_seconds",
    "histogram",
    "What this node took for its part in a change of leader, by kind and phase.",
  );
  for (const { service } of rows) {
    for (const { labels, seconds } of service.failovers.all) page.histogram(seconds, labels);
  }
}

function ofStore(page: MetricsPage, store: StoreFacts): void {
  page.family("tenure_keepalive_rtt_seconds", "histogram", "From sending a keep-alive to its answer.");
  page.histogram(store.keepAliveSeconds);
  page.family(
    "tenure_lease_left_seconds",
    "histogram",
    "For how long the lease was still proven when a keep-alive was answered.",
  );
  page.histogram(store.leftSeconds);
  page.family("tenure_keepalive_interval_seconds", "histogram", "From one answered keep-alive of a lease to the next.");
  page.histogram(store.intervalSeconds);
  page.family("tenure_keepalive_age_seconds", "gauge", "Since a keep-alive was answered last, 0 without a lease.");
  page.sample(store.keepAliveAgeMs / 1000);
  page.family("tenure_keepalive_overdue_total", "counter", "Keep-alives that were sent again because no answer came.");
  page.sample(store.keepAlivesOverdue);
  page.family("tenure_lease_doubts_total", "counter", "Stalls of this process that put a lease in doubt.");
  page.sample(store.doubts);
  page.family(
    "tenure_store_last_seen_timestamp_seconds",
    "gauge",
    "When the store answered a keep-alive last, 0 before the first time.",
  );
  page.sample((store.lastAnswerAt ?? 0) / 1000);
  page.family("tenure_store_errors_total", "counter", "Requests and connections to the store that failed, by kind.");
  for (const [kind, count] of store.errors) page.sample(count, labelText({ kind }));
  page.family("tenure_watch_resync_total", "counter", "Watches given up for another one, by reason.");
  for (const [reason, count] of store.watchResyncs) page.sample(count, labelText({ reason }));
}

function ofProcess(page: MetricsPage, { lag, listeners, version }: Measured): void {
  const single = (name: string, type: MetricType, help: string, value: number | undefined): void => {
    if (value === undefined) return;
    page.family(name, type, help);
    page.sample(value);
  };
  page.family("tenure_loop_lag_seconds", "histogram", "How late a timer fired that looks twice a second.");
  page.histogram(lag.seconds);
  single("tenure_event_listeners", "gauge", "Clients that listen to /events.", listeners());
  page.family("tenure_build_info", "gauge", "Always 1; the version is in the label.");
  page.sample(1, labelText({ version, node: process.version }));
  const cpu = process.cpuUsage();
  single("process_cpu_seconds_total", "counter", "User and system CPU time spent.", (cpu.user + cpu.system) / 1e6);
  single("process_resident_memory_bytes", "gauge", "Resident memory.", process.memoryUsage.rss());
  single("process_start_time_seconds", "gauge", "When the process started, since 1970.", STARTED_AT);
  single("process_open_fds", "gauge", "Open file descriptors.", openFiles());
}

const STARTED_AT = systemClock.date().getTime() / 1000 - process.uptime();

function openFiles(): number | undefined {
  try {
    // One of them is the folder that is read here.
    return readdirSync("/proc/self/fd").length - 1;
  } catch {
    return undefined;
  }
}
