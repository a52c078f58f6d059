/** A mistake that the simulation must find: a change of one compiled module of the product. */
export interface PlantedBug {
  readonly name: string;
  readonly says: string;
  /** Below `packages/`. */
  readonly file: string;
  /** Stands there exactly once. */
  readonly search: string;
  readonly replace: string;
  /** Seeds within which it is found, from seed 1 on. */
  readonly within: number;
}

/** The module with the mistake in it. Throws when the text is not there exactly once. */
export function planted(bug: PlantedBug, source: string): string {
  const parts = source.split(bug.search);
  if (parts.length !== 2) {
    throw new Error(
      `the planted bug ${bug.name} no longer applies: ${bug.file} has its text ${parts.length - 1} times`,
    );
  }
  return parts.join(bug.replace);
}

/** What other clients do wrong, what this one could, and what it once did. */
export const plantedBugs: readonly PlantedBug[] = [
  {
    name: "go-campaign",
    says: "elected as soon as no older key is left, whether or not the own key is there (Go's client, etcd#19597)",
    file: "tenure/dist/candidacy.js",
    search: "const entry = entryFor(snapshot, this.key);",
    replace:
      "const older = snapshot.entries.some((each) => each.createRevision < state.createRevision);" +
      'if (state.t === "queued" && !older) return this.#setState({ ...state, t: "leading" });' +
      "const entry = entryFor(snapshot, this.key);",
    within: 20,
  },
  {
    name: "go-deadline",
    says: "counts the lease from the answer instead of the request (Go's client)",
    file: "tenure/dist/keep-alive.js",
    search: "answered(this, sentAt, ttlMs)",
    replace: "answered(this, this.#etcd.clock.now(), ttlMs)",
    within: 1500,
  },
  {
    name: "etcd3-two-ttl",
    says: "takes the lease for lost only after twice its TTL (npm etcd3)",
    file: "tenure/dist/lease-timing.js",
    search: "return sentAt + ttlMs * (1 - RATE_ERROR) - marginMs(ttlMs);",
    replace: "return sentAt + 2 * ttlMs;",
    within: 200,
  },
  {
    name: "no-rate-margin",
    says: "keeps nothing back from the lease for clocks that differ",
    file: "tenure/dist/lease-timing.js",
    search: "return sentAt + ttlMs * (1 - RATE_ERROR) - marginMs(ttlMs);",
    replace: "return sentAt + ttlMs;",
    within: 3000,
  },
  {
    name: "no-clock-check",
    says: "believes the timers: a term is held until one of them says otherwise",
    file: "tenure/dist/session.js",
    search:
      'return this.#state.t === "live" && this.#state.doubtSince === undefined && ' +
      "this.#intactAt(this.#etcd.clock.now());",
    replace: 'return this.#state.t === "live";',
    within: 20,
  },
  {
    name: "no-doubt-after-stall",
    says: "goes on as before after a stall of the process",
    file: "tenure/dist/session.js",
    search: "- this.#beatAt > ",
    replace: "- this.#beatAt > Infinity + ",
    within: 100,
  },
  {
    name: "no-own-key-watch",
    says: "does not look whether the own key is still there",
    file: "tenure/dist/candidacy.js",
    search: "if (entry === undefined)",
    replace: "if (entry === undefined && this.#nomination === undefined) return;\n        if (entry === undefined)",
    within: 100,
  },
  {
    name: "cleanup-by-name",
    says: "deletes a key by its name, without comparing the create revision",
    file: "tenure/dist/candidate-key.js",
    search: ': compare.createRevision(this.key, "=", this.#createRevision)',
    replace: ': compare.createRevision(this.key, ">", 0n)',
    within: 1000,
  },
  {
    name: "leave-does-not-wait",
    says: "leaves without waiting for the answer to the campaign",
    file: "tenure/dist/candidacy.js",
    search: "await this.#joined.catch(() => undefined);",
    replace: "",
    within: 500,
  },
  {
    name: "lead-not-awaited",
    says: "resigns before lead has settled",
    file: "tenure/dist/run.js",
    search: "await lead(term);",
    replace: "Promise.resolve(lead(term)).catch(() => undefined);",
    within: 10,
  },
  {
    name: "guard-forgotten",
    says: "gives out a guard that compares nothing",
    file: "tenure/dist/term.js",
    search: "return markGuard(comparisons,",
    replace: "return markGuard([],",
    within: 100,
  },
  {
    name: "guard-by-lease",
    says: "guards writes by the lease alone, which the next term of the same process may share",
    file: "tenure/dist/term.js",
    search: 'compare.createRevision(this.key, "=", this.token),',
    replace: "",
    within: 500,
  },
  {
    name: "resume-at-created",
    says: "trusts the snapshot it has, although the new watch starts above it",
    file: "tenure/dist/view-feed.js",
    search: "this.#snapshot.revision >= this.#state.createdAt",
    replace: "true",
    within: 50,
  },
  {
    name: "stale-read-accepted",
    says: "lets an older snapshot replace a newer one",
    file: "tenure/dist/view-feed.js",
    search: "if (this.#snapshot !== undefined && snapshot.revision <= this.#snapshot.revision)",
    replace: "if (false)",
    within: 300,
  },
  {
    name: "partial-revision",
    says: "derives a state between the events of one revision",
    file: "tenure/dist/view.js",
    search: "if (kv.modRevision > revision && revision > snapshot.revision)",
    replace: "if (revision > snapshot.revision)",
    within: 50,
  },
  {
    name: "no-lag-alarm",
    says: "does not mind a watch that is silent",
    file: "tenure/dist/lag-alarm.js",
    search: "this.#onAlarm = onAlarm;",
    replace: "this.#onAlarm = () => undefined;",
    within: 50,
  },
  {
    name: "silent-observer",
    says: "does not show observers that nobody leads",
    file: "tenure/dist/leader.js",
    search: "last?.key === leader?.key && last?.modRevision === leader?.modRevision)",
    replace: "(leader === undefined || last?.modRevision === leader?.modRevision))",
    within: 50,
  },
  {
    name: "newest-first",
    says: "shows observers the newest change before older ones",
    file: "tenure/dist/leader.js",
    search: "undefined && !signal.aborted; next = pending.shift())",
    replace: "undefined && !signal.aborted; next = pending.pop())",
    within: 50,
  },
];
