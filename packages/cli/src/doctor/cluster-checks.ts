import { faultsOf } from "./known-faults.ts";
import type { MemberReport } from "./members.ts";
import { ok, problem, type Verdict, warning } from "./verdict.ts";

/** What etcd takes where it was told no quota. */
const DEFAULT_QUOTA_BYTES = 2 * 1024 ** 3;
/** The part of its quota that a database may fill. */
const QUOTA_SHARE = 0.8;

/** What the members said of themselves, and whether it fits together. */
export function checkMembers(members: readonly MemberReport[]): Verdict[] {
  const reached = members.filter(({ reachable }) => reachable);
  return [
    ...checkReach(members),
    ...checkAccess(reached),
    ...checkVersions(reached),
    ...checkCluster(reached),
    ...checkLearners(reached),
    ...checkAlarms(reached),
    ...reached.flatMap(checkSize),
  ];
}

function checkReach(members: readonly MemberReport[]): Verdict[] {
  const missing = members.filter(({ reachable }) => !reachable);
  if (missing.length === 0) return [ok("members", "every endpoint answers")];
  const advice = "start what is missing, or take it out of --endpoints";
  if (missing.length < members.length) {
    return missing.map(({ endpoint, reason }) => warning("members", `${endpoint}: ${reason ?? ""}`, advice));
  }
  const reasons = missing.map(({ endpoint, reason }) => `${endpoint}: ${reason ?? ""}`).join("; ");
  return [problem("members", `no endpoint answers: ${reasons}`, "check --endpoints, and that etcd runs")];
}

function checkAccess(members: readonly MemberReport[]): Verdict[] {
  return members.flatMap(({ endpoint, refusal, reason }) => {
    if (refusal === "unauthenticated") {
      const advice = "give --user and --password-file as etcd knows them";
      return [problem("members", `${endpoint}: ${reason ?? ""}`, advice)];
    }
    if (refusal !== "permission-denied") return [];
    const finding = `${endpoint} does not tell this user its version and state: ${reason ?? ""}`;
    return [warning("members", finding, "run this as a user with the role root to have them checked")];
  });
}

function checkVersions(members: readonly MemberReport[]): Verdict[] {
  const verdicts = distinct(members.map(({ version, embedded }) => (embedded ? null : version))).map((version) => {
    const faults = faultsOf(version);
    if (faults === undefined) return ok("version", `nothing is known against etcd ${version}`);
    const details = faults.faults.map(({ what, reference }) => `${what} (${reference})`);
    return warning("version", `etcd ${version} has known faults`, faults.advice, details);
  });
  if (members.some(({ embedded }) => embedded)) {
    verdicts.push(ok("version", "the embedded etcd of Tenure: for development and tests"));
  }
  const versions = distinct(members.map(({ version }) => version));
  if (versions.length > 1) {
    verdicts.push(warning("version", `the members differ: ${versions.join(", ")}`, "finish the update of the cluster"));
  }
  return verdicts;
}

function checkCluster(members: readonly MemberReport[]): Verdict[] {
  const clusters = distinct(members.map(({ clusterId }) => clusterId));
  if (clusters.length > 1) {
    const finding = `the endpoints belong to ${clusters.length} clusters: ${clusters.join(", ")}`;
    return [problem("cluster", finding, "name the members of one cluster only in --endpoints")];
  }
  const leaderless = members.filter(
    ({ leaderId, version, refusal }) => refusal === "no-leader" || (version !== null && leaderId === null),
  );
  if (leaderless.length > 0) {
    const finding = `etcd has no leader, as ${leaderless.map(({ endpoint }) => endpoint).join(", ")} see it`;
    return [problem("cluster", finding, "bring back a majority of etcd's members, and their network")];
  }
  const leaders = distinct(members.map(({ leaderId }) => leaderId));
  const terms = distinct(members.map(({ raftTerm }) => raftTerm));
  if (leaders.length > 1 || terms.length > 1) {
    const finding = `the members do not agree on etcd's leader (raft terms ${terms.join(", ")})`;
    return [warning("cluster", finding, "run this again; if it stays, look at etcd's network")];
  }
  if (leaders.length === 0) return [];
  return [ok("cluster", `one cluster, one leader of etcd, raft term ${terms.join("")}`)];
}

function checkLearners(members: readonly MemberReport[]): Verdict[] {
  return members
    .filter(({ role }) => role === "learner")
    .map(({ endpoint }) =>
      warning("members", `${endpoint} only learns`, "take it out of --endpoints until it is promoted"),
    );
}

function checkAlarms(members: readonly MemberReport[]): Verdict[] {
  const alarms = distinct(members.flatMap((member) => [...member.alarms]));
  return alarms.map((alarm) => {
    if (alarm === "NOSPACE") {
      const advice = "compact and defragment etcd, then etcdctl alarm disarm";
      return problem("alarms", "NOSPACE: etcd's quota is used up, so nobody can stand for election", advice);
    }
    return problem(
      "alarms",
      `${alarm}: the data of the members differ`,
      "replace the corrupt member, see etcd's manual",
    );
  });
}

function checkSize({ endpoint, dbSizeBytes, dbQuotaBytes }: MemberReport): Verdict[] {
  const quota = dbQuotaBytes ?? DEFAULT_QUOTA_BYTES;
  if (dbSizeBytes === null || dbSizeBytes <= quota * QUOTA_SHARE) return [];
  const of = dbQuotaBytes === null ? "etcd's default quota" : "its quota";
  const finding = `the database of ${endpoint} fills ${Math.round((100 * dbSizeBytes) / quota)} % of ${of}`;
  return [warning("size", finding, "compact and defragment etcd, or raise --quota-backend-bytes")];
}

function distinct(values: readonly (string | null)[]): string[] {
  return [...new Set(values)].filter((value) => value !== null);
}
