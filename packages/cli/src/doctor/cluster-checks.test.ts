import { describe, expect, it } from "vitest";
import { checkMembers } from "./cluster-checks.ts";
import type { MemberReport } from "./members.ts";
import type { Verdict } from "./verdict.ts";

const member: MemberReport = {
  endpoint: "http://a:2379",
  reachable: true,
  reason: null,
  refusal: null,
  embedded: false,
  version: "3.5.33",
  memberId: "a",
  clusterId: "c",
  role: "leader",
  leaderId: "a",
  raftTerm: "2",
  dbSizeBytes: 20_000,
  dbQuotaBytes: null,
  alarms: [],
  roundTripMs: null,
};
const other: MemberReport = { ...member, endpoint: "http://b:2379", memberId: "b", role: "follower" };
const silent: Partial<MemberReport> = {
  reachable: false,
  reason: "connection refused",
  version: null,
  clusterId: null,
  leaderId: null,
  raftTerm: null,
  dbSizeBytes: null,
};

function found(members: readonly MemberReport[]): Verdict[] {
  return checkMembers(members).filter(({ verdict }) => verdict !== "ok");
}

describe("the checks of a cluster", () => {
  it("find nothing in a sound one", () => {
    expect(found([member, other])).toEqual([]);
    expect(checkMembers([member, other]).map(({ check }) => check)).toEqual(["members", "version", "cluster"]);
  });

  it.each<[string, Partial<MemberReport>, Verdict["verdict"], RegExp]>([
    ["a member that does not answer", silent, "warning", /http:\/\/b:2379: connection refused/],
    ["a member of another cluster", { clusterId: "d" }, "problem", /2 clusters: c, d/],
    ["a member without a leader", { leaderId: null }, "problem", /no leader, as http:\/\/b:2379 see it/],
    ["a member that refuses for want of a leader", { version: null, refusal: "no-leader" }, "problem", /no leader/],
    ["a member that names another leader", { leaderId: "b" }, "warning", /do not agree/],
    ["a member of another raft term", { raftTerm: "3" }, "warning", /raft terms 2, 3/],
    ["a learner", { role: "learner" }, "warning", /only learns/],
    ["a quota used up", { alarms: ["NOSPACE"] }, "problem", /NOSPACE/],
    ["corrupt data", { alarms: ["CORRUPT"] }, "problem", /CORRUPT/],
    ["a release with known faults", { version: "3.5.16" }, "warning", /etcd 3.5.16 has known faults/],
    ["a database that fills its quota", { dbSizeBytes: 90, dbQuotaBytes: 100 }, "warning", /90 % of its quota/],
    ["a database that fills the default quota", { dbSizeBytes: 2e9 }, "warning", /93 % of etcd's default quota/],
    ["a wrong password", { version: null, refusal: "unauthenticated", reason: "no" }, "problem", /b:2379: no/],
    ["a user who is not root", { version: null, refusal: "permission-denied" }, "warning", /does not tell this user/],
  ])("find %s", (_, changed, verdict, finding) => {
    const verdicts = found([member, { ...other, ...changed }]);
    expect(verdicts.map((each) => [each.verdict, finding.test(each.finding)])).toContainEqual([verdict, true]);
    for (const { advice } of verdicts) expect(advice).not.toBeNull();
  });

  it("find a cluster of which nobody answers", () => {
    expect(found([{ ...member, ...silent }])).toMatchObject([{ verdict: "problem", check: "members" }]);
  });

  it("do not hold the release against the embedded etcd that follows it", () => {
    expect(found([{ ...member, embedded: true, version: "3.5.1" }])).toEqual([]);
  });
});
