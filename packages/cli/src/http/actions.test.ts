import { type Leader, TenureError } from "tenure";
import { beforeEach, describe, expect, it } from "vitest";
import { type ActedElection, type Action, Actions } from "./actions.ts";
import { ServiceBench } from "./testing/fixtures.ts";

function candidate(key: string, revision: bigint): Leader {
  // The flag that Tenure's nodes set in their leases.
  const leaseId = BigInt(`0x${key.slice(key.lastIndexOf("/") + 1)}`);
  return { key, value: `value of ${key}`, valueBytes: new Uint8Array(), revision, leaseId, self: false };
}

const US = candidate("job/aa", 7n);
const OTHER = candidate("job/bb", 8n);

describe("an action", () => {
  let bench: ServiceBench;
  let candidates: Leader[];
  let failure: TenureError | undefined;
  const notes: string[] = [];
  const asked: string[] = [];

  beforeEach(() => {
    bench = new ServiceBench();
    candidates = [US, OTHER];
    failure = undefined;
    notes.length = 0;
    asked.length = 0;
  });

  const election: ActedElection = {
    name: "job",
    prefix: "job/",
    state: () => (failure === undefined ? Promise.resolve({ candidates, revision: 9n }) : Promise.reject(failure)),
    requestTransfer: (key) => {
      asked.push(key);
      return failure === undefined ? Promise.resolve(OTHER) : Promise.reject(failure);
    },
  };

  async function done(action: Action, query = "", actions = make()) {
    const wanted = { t: "action", action, service: bench.service, query: new URLSearchParams(query) } as const;
    const { status, body } = await actions.perform(wanted, "10.0.0.9");
    return { status, ...(JSON.parse(body) as object) };
  }

  const make = (): Actions =>
    new Actions({ election: () => election, log: { note: (text) => notes.push(text) }, clock: bench.clock });

  /** Lets the clock run on until the answer is there. */
  async function inTime<T>(answer: Promise<T>): Promise<T> {
    let over = false;
    const ended = answer.finally(() => (over = true));
    while (!over) {
      await new Promise(setImmediate);
      bench.clock.advance(20);
    }
    return ended;
  }

  it("resign ends the term as planned, and tells who leads then", async () => {
    bench.service.sawLeader({ leader: US, revision: 7n });
    bench.lead();
    bench.service.control.leads((why) => {
      notes.push(why);
      bench.service.over("resigned");
      // The view hears of it a little later.
      bench.clock.after(100, () => bench.service.sawLeader({ leader: OTHER, revision: 10n }));
    });
    expect(await inTime(done("resign"))).toMatchObject({
      status: 200,
      action: "resign",
      election: "job",
      result: "done",
      before: { key: "job/aa" },
      leader: { key: "job/bb" },
    });
    expect(notes).toEqual([
      "HTTP: 10.0.0.9 asks for resign of job",
      "an operator has this node make way",
      "HTTP: resign of job: done; value of job/bb leads",
    ]);
  });

  it("resign says that a program still stops, and goes on", async () => {
    bench.lead(60_000);
    bench.service.control.leads(() => bench.service.stopping("planned"));
    expect(await inTime(done("resign"))).toMatchObject({ status: 202, result: "under-way" });
  });

  it("resign is refused where nobody leads here, where nobody else stands, and where the key is lost", async () => {
    expect(await done("resign")).toMatchObject({ status: 409, error: "this node does not lead" });
    bench.lead();
    candidates = [US];
    expect(await done("resign")).toMatchObject({ status: 409, error: expect.stringContaining("nobody else stands") });
    candidates = [OTHER, US];
    expect(await done("resign")).toMatchObject({ status: 409, error: "this node does not lead any more" });
    failure = new TenureError("unavailable", "no endpoint answers");
    expect(await done("resign")).toMatchObject({ status: 503, error: "no endpoint answers" });
    expect(bench.service.role).toBe("leader");
  });

  it("resign does not end another term than the one whose queue it read", async () => {
    bench.lead();
    const stood: string[] = [];
    bench.service.control.leads((why) => stood.push(why));
    const answer = done("resign");
    bench.service.over("expired");
    bench.lead();
    expect(await answer).toMatchObject({ status: 409, error: "the term has ended meanwhile" });
    expect(stood).toEqual([]);
  });

  it("transfer asks the leader, for a candidate by key or value", async () => {
    for (const to of ["job/bb", "value of job/bb"]) {
      const got = await done("transfer", `to=${encodeURIComponent(to)}`);
      expect(got).toMatchObject({ status: 200, result: "done", leader: { key: "job/bb" }, before: { key: "job/aa" } });
    }
    expect(asked).toEqual(["job/bb", "job/bb"]);
    expect(await done("transfer", "to=job/aa")).toMatchObject({ status: 200, result: "unchanged" });
  });

  it.each<[number, string, TenureError["code"] | undefined]>([
    [400, "", undefined],
    [400, "to=", undefined],
    [400, "to=job/aa&to=job/bb", undefined],
    [409, "to=nobody", undefined],
    [409, "to=job/bb", "invalid-argument"],
    [503, "to=job/bb", "unavailable"],
    [504, "to=job/bb", "deadline-exceeded"],
    [500, "to=job/bb", "permission-denied"],
  ])("transfer answers %i to %j where the store says %s", async (status, query, code) => {
    const actions = make();
    const { requestTransfer } = election;
    const answer = done("transfer", query, actions);
    // The read before it went well.
    if (code !== undefined) failure = new TenureError(code, "no");
    expect(await answer).toMatchObject({ status, error: expect.any(String) });
    expect(requestTransfer).toBe(election.requestTransfer);
  });

  it("transfer to a name without end makes no line of the log without end", async () => {
    expect(await done("transfer", `to=${"x".repeat(9000)}`)).toMatchObject({ status: 409 });
    expect(notes.map((line) => line.length).filter((length) => length > 700)).toEqual([]);
  });

  it("pause takes a standby out of the queue, resume brings it back", async () => {
    bench.store.token = 7n;
    const paused = done("pause");
    expect(bench.service.eligible).toBe(false);
    bench.service.left();
    expect(await inTime(paused)).toMatchObject({ status: 200, result: "done", paused: true, phase: "paused" });
    expect(await inTime(done("pause"))).toMatchObject({ status: 200, result: "unchanged" });
    const resumed = done("resume");
    bench.store.token = 9n;
    expect(await inTime(resumed)).toMatchObject({ status: 200, result: "done", paused: false, role: "standby" });
  });

  it("pause says that the node may be in the queue still, where etcd does not confirm that it has left", async () => {
    failure = new TenureError("unavailable", "no endpoint answers");
    expect(await done("pause")).toMatchObject({ status: 202, result: "under-way", paused: true, role: "none" });
    failure = undefined;
    candidates = [OTHER, { ...US, self: true }];
    expect(await done("pause")).toMatchObject({ status: 202, result: "under-way" });
    candidates = [OTHER, US];
    expect(await done("pause")).toMatchObject({ status: 200, result: "unchanged" });
  });

  it("is refused once the service is being stopped: nobody would heed it", async () => {
    const stopping = new AbortController();
    bench.service.control.runUntil(stopping.signal);
    expect(await done("pause")).toMatchObject({ status: 200 });
    stopping.abort();
    expect(await done("resume")).toEqual({ status: 503, error: "this service is being stopped here" });
    expect(bench.service.paused).toBe(true);
  });

  it("pause leaves the term of a leader alone, and says so", async () => {
    bench.lead(60_000);
    expect(await done("pause")).toMatchObject({
      status: 200,
      role: "leader",
      message: expect.stringContaining("resign"),
    });
    expect(bench.service.role).toBe("leader");
  });

  it("resume says that the node is not in the queue yet", async () => {
    bench.service.runBy([], { healthy: false });
    bench.service.control.paused.set(true);
    expect(await inTime(done("resume"))).toMatchObject({ status: 202, eligible: false, health: "failing" });
  });

  it("is refused while too many are under way, and waits no longer than the node lives", async () => {
    bench.lead(60_000);
    bench.service.control.leads(() => undefined);
    const actions = make();
    const pending = Array.from({ length: 16 }, () => done("resign", "", actions));
    expect(await done("pause", "", actions)).toMatchObject({ status: 429 });
    expect(bench.service.paused).toBe(false);
    const before = bench.clock.now();
    actions.close();
    for (const each of await inTime(Promise.all(pending))) expect(each).toMatchObject({ status: 202 });
    // Long before all of them would be told that it takes long.
    expect(bench.clock.now() - before).toBeLessThan(1000);
  });
});
