/** A fault of some etcd releases that elections suffer from. */
interface KnownFault {
  /** What goes wrong, in a few words. */
  readonly what: string;
  /** Where it is told: an issue of etcd, or an advisory. */
  readonly reference: string;
  /** By line of releases: the first patch release that has it no more, or that none has lost it. */
  readonly fixedIn: Readonly<Record<string, number | "never">>;
}

/** What is wrong with one release, and which one to take instead. */
export interface VersionFaults {
  readonly faults: readonly { readonly what: string; readonly reference: string }[];
  readonly advice: string;
}

/** Lines of releases without an entry never had the fault. */
const KNOWN_FAULTS: readonly KnownFault[] = [
  {
    what: "members may come to disagree about the data after a crash",
    reference: "etcd#13766",
    fixedIn: { "3.5": 3 },
  },
  {
    what: "a new lease may be reported as expired at once",
    reference: "etcd#13675",
    fixedIn: { "3.4": 20, "3.5": 3 },
  },
  {
    what: "a watch may say that it is up to date when it is not, so that a lagging member goes unnoticed",
    reference: "etcd#15220",
    fixedIn: { "3.4": 25, "3.5": 8 },
  },
  {
    what: "an old leader of etcd that was stuck may revoke every lease",
    reference: "etcd#15247",
    fixedIn: { "3.4": 31, "3.5": 13 },
  },
  {
    what: "a keep-alive may be answered although the lease is revoked already",
    reference: "etcd#20590",
    fixedIn: { "3.4": 38, "3.5": 23, "3.6": 5 },
  },
  {
    what: "a linearizable read may be stale after a pause of a member",
    reference: "etcd#20418",
    fixedIn: { "3.4": 42, "3.5": 28, "3.6": 9 },
  },
  {
    what: "with users: anybody may renew and revoke any lease, and transactions in transactions are not checked",
    reference: "CVE-2026-33413, CVE-2026-33343",
    fixedIn: { "3.4": 42, "3.5": 28, "3.6": 9 },
  },
  {
    what: "with users: a put in a transaction takes a lease without the right to it",
    reference: "CVE-2026-44283",
    fixedIn: { "3.4": 44, "3.5": 30, "3.6": 11 },
  },
  {
    what: "with users: who may read one key can watch all keys after it",
    reference: "GHSA-xg4h-6gfc-h4m8",
    fixedIn: { "3.4": "never", "3.5": 33, "3.6": 14, "3.7": 1 },
  },
  {
    what: "with TLS: a handshake that stalls holds up others",
    reference: "GHSA-6vch-q96h-7gc3",
    fixedIn: { "3.5": 33, "3.6": 14, "3.7": 1 },
  },
];

/** The oldest line of releases that Tenure is tested with. */
const OLDEST_MINOR = 4;
/** Lines that get no more releases. */
const ENDED_LINES: readonly string[] = ["3.4"];
/** What to take where the line has no release without known faults. */
const GOOD_RELEASE = "3.5.33, 3.6.14 or 3.7.1";

/** What is known against an etcd release; undefined when nothing is, or the version cannot be read. */
export function faultsOf(version: string): VersionFaults | undefined {
  const match = /^(\d+)\.(\d+)\.(\d+)/.exec(version);
  if (match === null) return undefined;
  const [major = 0, minor = 0, patch = 0] = match.slice(1).map(Number);
  if (major < 3 || (major === 3 && minor < OLDEST_MINOR)) {
    const what = "it is older than what elections are tested with";
    return { faults: [{ what, reference: "3.4 is the oldest" }], advice: `update to ${GOOD_RELEASE}` };
  }
  const line = `${major}.${minor}`;
  const fixes = KNOWN_FAULTS.flatMap(({ what, reference, fixedIn }) => {
    const fixed = fixedIn[line];
    return fixed === undefined || (fixed !== "never" && patch >= fixed) ? [] : [{ what, reference, fixed }];
  });
  if (fixes.length === 0) return undefined;
  const faults = fixes.map(({ what, reference }) => ({ what, reference }));
  const lastFix = Math.max(...fixes.map(({ fixed }) => (fixed === "never" ? Number.POSITIVE_INFINITY : fixed)));
  const unfixed = ENDED_LINES.includes(line) || lastFix === Number.POSITIVE_INFINITY;
  return { faults, advice: `update to ${unfixed ? GOOD_RELEASE : `${line}.${lastFix} or newer`}` };
}
