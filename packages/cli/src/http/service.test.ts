import { describe, expect, it } from "vitest";
import { Service } from "./service.ts";
import { ServiceBench } from "./testing/fixtures.ts";

describe("a service", () => {
  it("goes from the start through the queue to leading, and back", () => {
    const bench = new ServiceBench();
    const { service, store } = bench;
    const steps: unknown[] = [];
    const note = (): void => void steps.push([service.role, service.phase, service.ready]);
    note();
    store.token = 7n;
    note();
    service.elected(bench.term());
    note();
    service.promoted(() => true);
    note();
    service.restarting();
    note();
    service.promoted(() => true);
    note();
    service.stopping("exit");
    note();
    service.stopped();
    service.over("exited");
    note();
    store.token = 9n;
    note();
    expect(steps).toEqual([
      ["none", "starting", false],
      ["standby", "standby", true],
      ["none", "promoting", true],
      ["leader", "leading", true],
      ["none", "restarting", true],
      ["leader", "leading", true],
      ["none", "stopping", true],
      // The key of the term that is over may still be known as ours: it is in no queue any more.
      ["none", "starting", false],
      ["standby", "standby", true],
    ]);
    expect([service.terms, service.restarts, service.ends.get("exited")]).toEqual([1, 1, 1]);
  });

  it("stops leading by the clock alone, with nothing to tell it", () => {
    const bench = new ServiceBench();
    bench.lead(9000);
    bench.clock.advance(8999);
    expect(bench.service.role).toBe("leader");
    const before = bench.events.length;
    bench.clock.advance(1);
    expect(bench.service).toMatchObject({ role: "none", phase: "stopping", ready: false });
    expect(bench.events).toHaveLength(before);
  });

  it("does not lead while its program may not serve, its term is lost, or it has been told to end", () => {
    const bench = new ServiceBench();
    let serves = true;
    bench.service.elected(bench.term());
    bench.service.promoted(() => serves);
    expect(bench.service.role).toBe("leader");
    serves = false;
    expect(bench.service.role).toBe("none");
    serves = true;
    bench.closing = true;
    expect(bench.service).toMatchObject({ role: "none", phase: "stopping", ready: false });
    bench.closing = false;
    const term = bench.lead();
    term.lost = true;
    expect(bench.service.role).toBe("none");
  });

  it("does not stand by with a candidate that has left, or stood before it was made, though its lease lives", () => {
    const bench = new ServiceBench();
    bench.store.token = 7n;
    expect(bench.service.role).toBe("standby");
    bench.store.proven = false;
    bench.service.left();
    bench.store.proven = true;
    expect(bench.service).toMatchObject({ role: "none", phase: "starting", ready: false });
    const again = new Service({ name: "job", prefix: "job/", store: bench.store, closing: () => false });
    expect(again.role).toBe("none");
    bench.store.token = 9n;
    expect([bench.service.role, again.role]).toEqual(["standby", "standby"]);
  });

  it("tells a standby that was told to end from one that stays", () => {
    const bench = new ServiceBench();
    bench.store.token = 7n;
    bench.closing = true;
    expect(bench.service).toMatchObject({ role: "none", ready: false });
  });

  it("is eligible unless it is paused, unfit, or has been told to end", () => {
    const bench = new ServiceBench();
    const { service } = bench;
    expect(service).toMatchObject({ eligible: true, paused: false, health: "unchecked", phase: "starting" });
    service.control.paused.set(true);
    expect(service).toMatchObject({ eligible: false, paused: true, phase: "paused" });
    bench.lead();
    expect(service).toMatchObject({ eligible: false, phase: "leading", role: "leader" });
    service.control.paused.set(false);
    const health = { healthy: false };
    service.runBy([], health);
    expect(service).toMatchObject({ eligible: false, health: "failing" });
    health.healthy = true;
    expect(service).toMatchObject({ eligible: true, health: "ok" });
    bench.closing = true;
    expect(service.eligible).toBe(false);
  });

  it("counts the time without a leader as it saw it", () => {
    const { service, clock } = new ServiceBench();
    const leader = {
      key: "job/bb",
      value: "b",
      valueBytes: new Uint8Array(),
      revision: 3n,
      leaseId: 0xbbn,
      self: false,
    };
    service.sawLeader({ leader: null, revision: 1n });
    clock.advance(300);
    expect(service.vacantMs).toBe(300);
    service.sawLeader({ leader, revision: 3n });
    clock.advance(1000);
    service.sawLeader({ leader: null, revision: 4n });
    clock.advance(200);
    expect(service.vacantMs).toBe(500);
  });

  it("shows its own term before what the view shows, and of long values the beginning", () => {
    const bench = new ServiceBench();
    const value = "x".repeat(10_000);
    const other = { key: "job/bb", value, valueBytes: new Uint8Array(), revision: 3n, leaseId: 0xbbn, self: false };
    bench.service.sawLeader({ leader: other, revision: 3n });
    expect(bench.service.leader?.value).toHaveLength(4097);
    const term = bench.lead();
    term.value = value;
    expect(bench.service.leader).toMatchObject({ key: "job/aa", revision: 7n });
    expect(JSON.stringify(bench.service).length).toBeLessThan(5000);
    term.lost = true;
    expect(bench.service.leader).toMatchObject({ key: "job/bb" });
  });

  it("measures its part of a takeover, and of the end of its own term", () => {
    const bench = new ServiceBench();
    const { service, store, clock } = bench;
    store.seen = { key: "job/aa", before: "job/bb", at: clock.now() };
    clock.advance(5);
    service.elected(bench.term());
    clock.advance(40);
    service.promoted(() => true);
    clock.advance(1000);
    service.stopping("planned");
    clock.advance(600);
    service.stopped();
    clock.advance(30);
    service.over("stopped");
    const sums = [...service.failovers.all].map(({ labels, seconds }) => [labels, Math.round(seconds.sum * 1000)]);
    expect(sums).toEqual([
      ['election="job",kind="takeover",phase="elect"', 5],
      ['election="job",kind="takeover",phase="promote"', 40],
      ['election="job",kind="takeover",phase="total"', 45],
      ['election="job",kind="planned",phase="stop"', 600],
      ['election="job",kind="planned",phase="release"', 30],
    ]);
  });

  it("measures no stop of a program that is down when the term ends, about to be started again", () => {
    const bench = new ServiceBench();
    bench.lead();
    bench.service.stopping("exit");
    bench.service.restarting();
    bench.clock.advance(5000);
    bench.service.stopped();
    bench.service.over("expired");
    expect([...bench.service.failovers.all].filter(({ labels }) => labels.includes('kind="exit"'))).toEqual([]);
  });

  it("calls it no takeover when nobody led before, and counts no release of a key it may not delete", () => {
    const bench = new ServiceBench();
    bench.store.seen = { key: "job/aa", before: null, at: bench.clock.now() };
    bench.lead();
    bench.service.stopping("lost");
    bench.service.stopped();
    bench.service.over("expired");
    expect([...bench.service.failovers.all].map(({ labels }) => labels)).toEqual([
      'election="job",kind="vacant",phase="elect"',
      'election="job",kind="vacant",phase="promote"',
      'election="job",kind="vacant",phase="total"',
      'election="job",kind="lost",phase="stop"',
    ]);
  });

  it("tells each change of role and leader", () => {
    const bench = new ServiceBench();
    bench.lead();
    bench.service.stopping("planned");
    bench.service.over("stopped");
    bench.service.sawLeader({ leader: null, revision: 9n });
    expect(bench.events.map(({ type, data }) => ({ type, ...data }))).toEqual([
      { type: "role", election: "job", role: "none", phase: "promoting", token: "7", reason: null },
      { type: "role", election: "job", role: "leader", phase: "leading", token: "7", reason: null },
      { type: "role", election: "job", role: "none", phase: "stopping", token: "7", reason: null },
      { type: "role", election: "job", role: "none", phase: "starting", token: null, reason: "stopped" },
      { type: "leader", election: "job", leader: null, revision: "9" },
    ]);
  });
});
