import { describe, expect, it } from "vitest";
import { type Board, routed } from "./routes.ts";
import { ServiceBench } from "./testing/fixtures.ts";

function board(...benches: readonly ServiceBench[]): Board {
  return {
    services: benches.map(({ service }) => service),
    status: () => ({ all: true }),
    metrics: () => Buffer.from("metrics\n"),
  };
}

function get(target: string, ...benches: readonly ServiceBench[]) {
  const answer = routed(target, board(...benches));
  if ("t" in answer) throw new Error("no answer");
  return answer;
}

/** A bench in each role. */
function inRole(role: "leader" | "standby" | "none", name?: string): ServiceBench {
  const bench = new ServiceBench(name);
  if (role === "leader") bench.lead();
  if (role === "standby") bench.store.token = 7n;
  return bench;
}

describe("the routes of roles", () => {
  it.each([
    ["leader", "/leader", 200],
    ["leader", "/primary", 200],
    ["leader", "/standby", 503],
    ["leader", "/replica", 503],
    ["standby", "/leader", 503],
    ["standby", "/primary", 503],
    ["standby", "/standby", 200],
    ["standby", "/replica", 200],
    ["none", "/leader", 503],
    ["none", "/standby", 503],
    ["leader", "/leader?activecode=299&standbycode=429", 299],
    ["leader", "/standby?activecode=472", 472],
    ["standby", "/leader?standbycode=429&activecode=299", 429],
    ["standby", "/replica?standbycode=200&anything=else", 200],
    ["none", "/leader?activecode=299&standbycode=299", 503],
    ["leader", "/leader?activecode=199", 400],
    ["leader", "/leader?activecode=600", 400],
    ["leader", "/leader?activecode=", 400],
    ["leader", "/leader?activecode=2e2", 400],
    ["leader", "/leader?activecode=0200", 400],
    ["leader", "/leader?activecode=200&activecode=200", 400],
    ["leader", "/leader?standbycode=x", 400],
    ["leader", "/services/job/leader", 200],
    ["leader", "/services/%6aob/standby", 503],
  ] as const)("answer a %s at %s with %i", (role, target, status) => {
    expect(get(target, inRole(role)).status).toBe(status);
  });

  it("say who leads and with which token in headers, whatever their text", () => {
    const bench = inRole("standby", "a b/ü");
    const leader = {
      key: "a b/ü/bb",
      value: "x\r\ny",
      valueBytes: new Uint8Array(),
      revision: 12n,
      leaseId: 1n,
      self: false,
    };
    bench.service.sawLeader({ leader, revision: 12n });
    expect(get("/services/a%20b%2F%C3%BC/leader", bench).headers).toMatchObject({
      "Retry-After": "1",
      "X-Tenure-Election": "a%20b/%C3%BC",
      "X-Tenure-Role": "standby",
      "X-Tenure-Leader-Key": "a%20b/%C3%BC/bb",
      "X-Tenure-Leader-Value": "x%0D%0Ay",
      "X-Tenure-Token": "12",
    });
    const own = get("/leader", inRole("leader"));
    expect(own.headers).toMatchObject({ "X-Tenure-Token": "7", "X-Tenure-Leader-Key": "job/aa" });
    expect(own.headers).not.toHaveProperty("Retry-After");
    expect(JSON.parse(own.body)).toMatchObject({ role: "leader", term: { token: "7" } });
  });

  it("need the service's name where there are several", () => {
    const two = [inRole("leader", "one"), inRole("standby", "two")];
    expect(get("/leader", ...two).status).toBe(404);
    expect(get("/services/one/leader", ...two).status).toBe(200);
    expect(get("/services/two/leader", ...two).status).toBe(503);
    expect(JSON.parse(get("/services", ...two).body)).toEqual({ services: ["one", "two"] });
  });
});

describe("the other routes", () => {
  it.each([
    ["leader", 200, 200],
    ["standby", 200, 200],
    ["none", 503, 503],
  ] as const)("tell whether a %s is ready (%i) and healthy (%i), and that it lives", (role, ready, healthy) => {
    const bench = inRole(role);
    expect(["/readyz", "/health", "/livez"].map((target) => get(target, bench).status)).toEqual([ready, healthy, 200]);
  });

  it("take a leader whose program does not run for ready, but not for healthy", () => {
    const bench = new ServiceBench();
    bench.service.elected(bench.term());
    expect(["/readyz", "/health", "/leader"].map((target) => get(target, bench).status)).toEqual([200, 503, 503]);
  });

  it("are ready and healthy when all services are", () => {
    const two = [inRole("leader", "one"), inRole("none", "two")];
    expect(get("/readyz", ...two).status).toBe(503);
    expect(JSON.parse(get("/readyz", ...two).body)).toEqual({ ready: false, waiting: ["two"] });
    expect(get("/health", ...two).status).toBe(503);
    expect(get("/services/one/readyz", ...two).status).toBe(200);
    expect(get("/services/two/health", ...two).status).toBe(503);
  });

  it("give status, metrics and streams", () => {
    const bench = inRole("leader");
    expect(JSON.parse(get("/status", bench).body)).toEqual({ all: true });
    expect(get("/metrics", bench)).toMatchObject({ status: 200, bytes: Buffer.from("metrics\n") });
    expect(JSON.parse(get("/services/job", bench).body)).toMatchObject({ election: "job" });
    expect(routed("/events", board(bench))).toEqual({ t: "events", service: undefined });
    expect(routed("/services/job/events", board(bench))).toEqual({ t: "events", service: bench.service });
  });

  it.each(["resign", "transfer", "pause", "resume"])("pass the action %s on, of one service", (action) => {
    const bench = inRole("leader", "one");
    const wanted = { t: "action", action, service: bench.service };
    expect(routed(`/${action}?to=b`, board(bench))).toMatchObject(wanted);
    const two = board(bench, inRole("leader", "two"));
    expect(routed(`/services/one/${action}`, two)).toMatchObject(wanted);
    expect(routed(`/${action}`, two)).toMatchObject({ status: 404 });
  });

  it.each([
    ["/", 404],
    ["/no", 404],
    ["/leader/", 404],
    ["/leader%00", 404],
    ["/../leader", 404],
    ["//leader", 404],
    ["/services/other/leader", 404],
    ["/services/%/leader", 404],
    ["/services/job/leader/more", 404],
    ["/services/__proto__/leader", 404],
    ["/__proto__", 404],
    ["/constructor", 404],
    ["*", 400],
    ["http://evil.example/leader", 400],
  ])("of %j there are none: %i, without repeating it", (target, status) => {
    const answer = get(target, inRole("leader"));
    expect(answer.status).toBe(status);
    expect(Object.keys(JSON.parse(answer.body) as object)).toEqual(["error"]);
    expect(answer.body).not.toMatch(/evil|proto|other/);
  });
});
