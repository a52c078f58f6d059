import { ManualClock } from "@tenure/etcd/runtime";
import { afterEach, describe, expect, it } from "vitest";
import { LoopLag } from "./loop-lag.ts";
import { metricsText } from "./metrics.ts";
import type { Service } from "./service.ts";
import { StoreFacts } from "./store-facts.ts";
import { ServiceBench } from "./testing/fixtures.ts";
import { parseMetrics, type Sample } from "./testing/parse-metrics.ts";

const SERVICES = 200;
const SCRAPES = 20;

describe("the metrics", () => {
  const store = new StoreFacts();
  const clock = new ManualClock();
  const lag = new LoopLag(clock);
  afterEach(() => store[Symbol.dispose]());

  const text = (services: readonly Service[]): string =>
    metricsText({ services, store, lag, listeners: () => 3, version: "1.2.3" }).toString();
  const valueOf = (samples: readonly Sample[], name: string, labels: object = {}): number | undefined =>
    samples.find((each) => each.name === name && Object.entries(labels).every(([key, v]) => each.labels[key] === v))
      ?.value;

  it("are what they should be for a leader, and a standby", () => {
    const leader = new ServiceBench("one");
    leader.lead(9000);
    const standby = new ServiceBench('two"\\\n');
    standby.store.token = 9n;
    standby.store.count = 3;
    standby.service.control.paused.set(true);
    standby.service.runBy(["on-promote"], { healthy: false });
    leader.service.hookRan("pre-promote", "timeout", 10_000);
    leader.service.hookRan("pre-promote", "ok", 300);
    const samples = parseMetrics(text([leader.service, standby.service]));
    const one = { election: "one" };
    const two = { election: 'two"\\\n' };
    const values = (labels: object): unknown[] =>
      [
        "is_leader",
        "is_standby",
        "child_up",
        "terms_total",
        "lease_ttl_seconds",
        "lease_remaining_seconds",
        "term",
        "candidates",
        "eligible",
        "paused",
        "healthy",
      ].map((name) => valueOf(samples, `tenure_${name}`, labels));
    expect(values(one)).toEqual([1, 0, 1, 1, 10, 9, 7, 0, 1, 0, 1]);
    expect(values(two)).toEqual([0, 1, 0, 0, 0, 0, 0, 3, 0, 1, 0]);
    const hook = { ...one, hook: "pre-promote" };
    expect(valueOf(samples, "tenure_hook_failures_total", hook)).toBe(1);
    expect(valueOf(samples, "tenure_hook_failures_total", { ...two, hook: "on-promote" })).toBe(0);
    expect(valueOf(samples, "tenure_hook_duration_seconds_sum", { ...hook, result: "timeout" })).toBe(10);
    expect(valueOf(samples, "tenure_hook_duration_seconds_count", { ...hook, result: "ok" })).toBe(1);
    expect(valueOf(samples, "tenure_transitions_total", { ...two, reason: "expired" })).toBe(0);
    expect(valueOf(samples, "tenure_event_listeners")).toBe(3);
    expect(valueOf(samples, "tenure_build_info", { version: "1.2.3" })).toBe(1);
    expect(valueOf(samples, "process_resident_memory_bytes")).toBeGreaterThan(10_000_000);
  });

  it("turn with the clock, as /leader does", () => {
    const bench = new ServiceBench();
    bench.lead(9000);
    bench.clock.advance(9000);
    const samples = parseMetrics(text([bench.service]));
    expect(valueOf(samples, "tenure_is_leader")).toBe(0);
    expect(valueOf(samples, "tenure_lease_remaining_seconds")).toBe(0);
  });

  it("count how late the event loop was", () => {
    clock.advance(500);
    expect(valueOf(parseMetrics(text([])), "tenure_loop_lag_seconds_bucket", { le: "0.001" })).toBe(1);
  });

  it(`are made of ${SERVICES} services, with every failover and hook they can have seen`, ({ annotate }) => {
    const services = Array.from({ length: SERVICES }, (_, index) => {
      const bench = new ServiceBench(`services/number-${index}`);
      for (const kind of ["planned", "exit", "lost"] as const) {
        bench.store.seen = { key: "job/aa", before: kind === "exit" ? "job/bb" : null, at: 0 };
        bench.lead();
        bench.service.stopping(kind);
        bench.service.stopped();
        bench.service.over("stopped");
      }
      for (const name of ["pre-promote", "on-promote", "on-demote", "on-leader-change"] as const) {
        bench.service.hookRan(name, "ok", 100);
        bench.service.hookRan(name, "failed", 100);
      }
      return bench.service;
    });
    const samples = parseMetrics(text(services));
    const times: number[] = [];
    const cpuBefore = process.cpuUsage();
    for (let scrape = 0; scrape < SCRAPES; scrape++) {
      const before = performance.now();
      text(services);
      times.push(performance.now() - before);
    }
    const median = times.toSorted((a, b) => a - b)[SCRAPES / 2];
    const { user, system } = process.cpuUsage(cpuBefore);
    const cpuMs = (user + system) / 1000 / SCRAPES;
    void annotate(
      `${samples.length} samples: ${median?.toFixed(1)} ms (median), ${cpuMs.toFixed(1)} ms of processor time`,
    );
    expect(samples.filter(({ name }) => name === "tenure_is_leader")).toHaveLength(SERVICES);
  });
});
