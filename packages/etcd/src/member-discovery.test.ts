import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  MemberListResponseSchema,
  PutResponseSchema,
  StatusResponseSchema,
  WatchResponseSchema,
} from "./gen/rpc_pb.ts";
import { ManualClock } from "./runtime/manual-clock.ts";
import { failure } from "./testing/failure.ts";
import {
  answer,
  clientOf,
  closeClients,
  deadEndpoint,
  FakeServer,
  respond,
  send,
  type ServerCall,
  trailersOnly,
  WAIT,
} from "./testing/fake-server.ts";

const CLUSTER = 0xc1n;
const CHANNELS = ["endpoint:added", "endpoint:removed", "endpoint:rejected", "discovery:failed"];

/** What a member has in the list. */
interface Entry {
  readonly ID: bigint;
  readonly clientURLs: readonly string[];
  readonly isLearner?: boolean;
}

/** A server that says it is a member, and what the members are. */
class Member implements AsyncDisposable {
  readonly server: FakeServer;
  clusterId = CLUSTER;
  memberId: bigint;
  /** The cluster's list, as this member has it; undefined refuses to tell it. */
  list: readonly Entry[] | undefined = [];
  /** Says nothing at all. */
  silent = false;

  private constructor(server: FakeServer, memberId: bigint) {
    this.server = server;
    this.memberId = memberId;
    server.onMessage = (call) => this.#answer(call);
  }

  static async start(memberId: bigint): Promise<Member> {
    return new Member(await FakeServer.start(), memberId);
  }

  get url(): string {
    return this.server.endpoint;
  }

  get entry(): Entry {
    return { ID: this.memberId, clientURLs: [this.url] };
  }

  /** The calls it has seen, without those that ask who it is and how it is. */
  get calls(): (string | undefined)[] {
    return this.server.paths.filter((path) => path !== "Watch" && path !== "Status");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.server[Symbol.asyncDispose]();
  }

  #answer(call: ServerCall): void {
    if (this.silent) return;
    const { clusterId, memberId, list } = this;
    const header = { clusterId, memberId, revision: 1n };
    const path = call.headers[":path"]?.split("/").at(-1);
    if (path === "Put") return answer(call, PutResponseSchema, { header });
    if (path === "Status") return answer(call, StatusResponseSchema, { header, leader: 1n });
    if (path === "Watch") {
      respond(call);
      return send(call, WatchResponseSchema, { header, created: true });
    }
    if (list === undefined) return trailersOnly(call, 7, "etcdserver: permission denied");
    answer(call, MemberListResponseSchema, {
      header,
      members: list.map(({ ID, clientURLs, isLearner = false }) => ({ ID, clientURLs: [...clientURLs], isLearner })),
    });
  }
}

/** What was published: the channel's name, the endpoint or the source, and why. */
let told: string[] = [];
const onMessage = (message: unknown, name: string | symbol): void => {
  const { endpoint, source, why, reason } = message as Record<string, string | undefined>;
  told.push([String(name).split(":").at(-1), endpoint ?? source, why ?? reason].filter(Boolean).join(" "));
};

beforeEach(() => {
  told = [];
  for (const name of CHANNELS) subscribe(`tenure:${name}`, onMessage);
});
afterEach(closeClients);
afterEach(() => {
  for (const name of CHANNELS) unsubscribe(`tenure:${name}`, onMessage);
});

/** A client that was given one member, with a clock of its own. */
function discovering(given: Member | string) {
  const clock = new ManualClock();
  const client = clientOf([typeof given === "string" ? given : given.url], clock, { discoverMembers: true });
  return { client, clock, put: () => client.kv.put("k", "v") };
}

/** Calls until it succeeds: that a connection is lost is heard a little later. */
const done = (call: () => Promise<unknown>): Promise<unknown> => vi.waitFor(call, WAIT);

const seen = (...lines: string[]): Promise<void> =>
  vi.waitFor(() => expect(told.toSorted()).toEqual(lines.toSorted()), WAIT);

describe("members of the list", () => {
  it("are used once they have said who they are, and take over from the one that was given", async () => {
    await using given = await Member.start(1n);
    await using other = await Member.start(2n);
    given.list = [given.entry, other.entry];
    const { put } = discovering(given);
    await put();
    await seen(`added ${other.url}`);
    expect(other.server.paths).toEqual(["Watch"]);
    expect(other.server.calls[0]?.headers["hasleader"]).toBe("false");
    await put();
    expect(other.calls).toEqual([]);
    await given[Symbol.asyncDispose]();
    await done(put);
    expect(other.calls).toEqual(["Put"]);
  });

  it("are not asked for where nobody wants them", async () => {
    await using given = await Member.start(1n);
    await clientOf([given.server]).kv.put("k", "v");
    expect(given.server.paths).toEqual(["Put"]);
  });

  it("are asked for with the first answer, and again in the wake of a call after 30 s", async () => {
    await using given = await Member.start(1n);
    await using other = await Member.start(2n);
    given.list = [other.entry];
    const { put, clock } = discovering(given);
    const asked = (): number => given.calls.filter((path) => path === "MemberList").length;
    for (let calls = 0; calls < 3; calls++) await put();
    await seen(`added ${other.url}`);
    expect(asked()).toBe(1);
    clock.advance(29_999);
    await put();
    await put();
    expect(asked()).toBe(1);
    clock.advance(1);
    expect(asked()).toBe(1);
    await put();
    await vi.waitFor(() => expect(asked()).toBe(2), WAIT);
  });

  it("are asked nothing else by a client that waits for them to say who they are", async () => {
    await using given = await Member.start(1n);
    await using other = await Member.start(2n);
    given.list = [other.entry];
    other.silent = true;
    const { put, clock } = discovering(given);
    await put();
    await vi.waitFor(() => expect(other.server.paths).toEqual(["Watch"]), WAIT);
    clock.advance(1000);
    await vi.waitFor(() => expect(other.server.sessions.size).toBe(0), WAIT);
    await given[Symbol.asyncDispose]();
    await failure(put());
    expect([told, other.calls]).toEqual([[], []]);
  });

  it.each([
    ["another cluster", (member: Member) => (member.clusterId = 0xbadn), "member 2 of cluster bad"],
    ["another member", (member: Member) => (member.memberId = 3n), "member 3 of cluster c1"],
    ["nobody who says who it is", (member: Member) => (member.clusterId = 0n), "member 2 of cluster 0"],
  ])("are never used where %s answers, which is told once", async (_who, mislead, who) => {
    await using given = await Member.start(1n);
    await using other = await Member.start(2n);
    given.list = [given.entry, other.entry];
    mislead(other);
    const { client, put, clock } = discovering(given);
    const rejected = `rejected ${other.url} ${who} answers, not 2 of cluster c1`;
    await put();
    await seen(rejected);
    clock.advance(30_000);
    await put();
    await vi.waitFor(() => expect(other.server.paths).toEqual(["Watch", "Watch"]), WAIT);
    await vi.waitFor(() => expect(other.server.sessions.size).toBe(0), WAIT);
    await given[Symbol.asyncDispose]();
    await failure(put());
    await vi.waitFor(() => expect(other.server.paths).toEqual(["Watch", "Watch", "Watch"]), WAIT);
    await failure(put());
    expect([told, other.calls, client.lineage.clusterId]).toEqual([[rejected], [], CLUSTER]);
  });

  it("are not used any more when a new connection leads to another cluster, which disturbs nothing", async () => {
    await using given = await Member.start(1n);
    await using other = await Member.start(2n);
    given.list = [given.entry, other.entry];
    const { client, put } = discovering(given);
    const changed = vi.fn<() => void>();
    client.lineage.onChanged(changed);
    await put();
    await seen(`added ${other.url}`);
    await given[Symbol.asyncDispose]();
    await done(put);
    expect(other.calls).toEqual(["Put"]);

    other.clusterId = 0xbadn;
    for (const session of other.server.sessions) session.destroy();
    await vi.waitFor(async () => {
      expect((await failure(put())).code).toBe("unavailable");
      expect(told).toHaveLength(3);
    }, WAIT);
    expect(other.calls).toEqual(["Put"]);
    expect(told.slice(1)).toEqual([
      `removed ${other.url} mismatch`,
      `rejected ${other.url} member 2 of cluster bad answers, not 2 of cluster c1`,
    ]);
    expect([changed.mock.calls.length, client.lineage.clusterId]).toEqual([0, CLUSTER]);
  });

  it("are left out when they only learn, have no URL, or one of another kind", async () => {
    await using given = await Member.start(1n);
    await using learner = await Member.start(2n);
    await using secure = await Member.start(3n);
    await using other = await Member.start(4n);
    given.list = [
      { ...learner.entry, isLearner: true },
      { ID: 3n, clientURLs: [secure.url.replace("http:", "https:"), "unix:///run/etcd", "nonsense://", ""] },
      { ID: 5n, clientURLs: [] },
      { ID: 0n, clientURLs: ["http://127.0.0.1:1"] },
      { ID: 4n, clientURLs: [given.url, other.url] },
    ];
    await discovering(given).put();
    await seen(`added ${other.url}`);
    expect([learner.server.sessionsSeen, secure.server.sessionsSeen]).toEqual([0, 0]);
  });

  it("may share a URL that leads to one of them from here", async () => {
    await using given = await Member.start(1n);
    await using local = await Member.start(2n);
    given.list = [1n, 2n, 3n].map((ID) => ({ ID, clientURLs: [local.url] }));
    await discovering(given).put();
    await seen(`added ${local.url}`);
    expect(local.server.paths).toEqual(["Watch"]);
  });

  it("are given up when they leave the list, unlike what was given", async () => {
    await using given = await Member.start(1n);
    await using other = await Member.start(2n);
    given.list = [other.entry];
    const { put, clock } = discovering(given);
    await put();
    await seen(`added ${other.url}`);
    given.list = [];
    clock.advance(30_000);
    await put();
    await seen(`added ${other.url}`, `removed ${other.url} unlisted`);
    await vi.waitFor(() => expect(other.server.sessions.size).toBe(0), WAIT);
    await put();
    expect(other.calls).toEqual([]);
  });

  it("are looked at again as soon as nobody else is left", async () => {
    await using given = await Member.start(1n);
    await using other = await Member.start(2n);
    given.list = [other.entry];
    other.silent = true;
    const { put, clock } = discovering(given);
    await put();
    await vi.waitFor(() => expect(other.server.paths).toEqual(["Watch"]), WAIT);
    clock.advance(1000);
    await vi.waitFor(() => expect(other.server.sessions.size).toBe(0), WAIT);
    other.silent = false;
    await given[Symbol.asyncDispose]();
    await failure(put());
    await seen(`added ${other.url}`);
    await done(put);
    expect(other.calls).toContain("Put");
  });

  it("are forgotten when what was given leads to another cluster, and that one's taken", async () => {
    await using given = await Member.start(1n);
    await using old = await Member.start(2n);
    await using fresh = await Member.start(2n);
    given.list = [old.entry];
    const { put } = discovering(given);
    await put();
    await seen(`added ${old.url}`);
    for (const member of [given, fresh]) member.clusterId = 0xc2n;
    given.list = [fresh.entry];
    await put();
    await put();
    await seen(`added ${old.url}`, `removed ${old.url} cluster-changed`, `added ${fresh.url}`);
    expect(old.calls).toEqual([]);
    await vi.waitFor(() => expect(old.server.sessions.size).toBe(0), WAIT);
  });

  it.each([
    ["refused", (given: Member) => (given.list = undefined), "etcdserver: permission denied"],
    ["nobody's", (given: Member) => (given.clusterId = 0n), "the list of members does not say whose it is"],
  ])("stay unknown where the list is %s, which is told once and harms nothing", async (_what, spoil, reason) => {
    await using given = await Member.start(1n);
    spoil(given);
    const { client, put, clock } = discovering(given);
    await put();
    await seen(`failed members ${reason}`);
    clock.advance(30_000);
    await put();
    await vi.waitFor(() => expect(given.calls.filter((path) => path === "MemberList")).toHaveLength(2), WAIT);
    // Answered after the one before it.
    await client.cluster.memberList().catch(() => undefined);
    expect(told).toEqual([`failed members ${reason}`]);
  });

  it("that cannot be reached harm nothing", async () => {
    await using given = await Member.start(1n);
    given.list = [{ ID: 2n, clientURLs: [await deadEndpoint()] }];
    const { put } = discovering(given);
    for (let calls = 0; calls < 3; calls++) await put();
    expect(told).toEqual([]);
  });

  it("are left by a client that is closed, however far it has got", async () => {
    await using given = await Member.start(1n);
    await using used = await Member.start(2n);
    await using silent = await Member.start(3n);
    silent.silent = true;
    given.list = [used.entry, silent.entry];
    const { client, put } = discovering(given);
    await put();
    await seen(`added ${used.url}`);
    await vi.waitFor(() => expect(silent.server.paths).toEqual(["Watch"]), WAIT);
    await client.close();
    for (const { server } of [given, used, silent]) await vi.waitFor(() => expect(server.sessions.size).toBe(0), WAIT);
  });
});
