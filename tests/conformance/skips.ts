/** The stores that the suite runs on, by the names that `npm run conformance -- --store` takes. */
export const storeNames = ["embed", "etcd-3.4", "etcd-3.5"] as const;
export type StoreName = (typeof storeNames)[number];

/** A case that does not run on one store. */
export interface Skip {
  readonly store: StoreName;
  /** `group > title`, whole or as a pattern. */
  readonly case: string | RegExp;
  /** What differs there, and why that is no fault of ours. */
  readonly reason: string;
}

/** Every skip there is. One that matches no case fails the suite. */
export const skips: readonly Skip[] = [
  {
    store: "etcd-3.4",
    case: "watch > a deletion at the compacted revision itself is still delivered (etcd#18089)",
    reason: "etcd loses it before 3.4.34, 3.5.16 and 3.6; Debian's 3.4 is older",
  },
  {
    store: "etcd-3.4",
    case: "watch stream > a start revision below 0 is refused as compacted",
    reason: "etcd takes it as 0 before 3.4.38, 3.5.24 and 3.6.6; Debian's 3.4 is older",
  },
  {
    store: "etcd-3.4",
    case: "watch stream > progress never runs ahead of events: those up to its revision have come before it",
    reason: "etcd may send progress first before 3.4.25 and 3.5.8 (etcd#15220); Debian's 3.4 is older",
  },
  {
    store: "etcd-3.4",
    case: /^auth > (refuses (users and roles|a password)|counts its changes$|lets root do everything)/,
    reason: "etcd 3.4 does not tell the auth revision and refuses less here; 3.5.30 is followed",
  },
  {
    store: "etcd-3.4",
    case: /^permissions > (looks at all of a|keeps a lease|wants a token|keeps maintenance)/,
    reason: "etcd checks these since 3.4.42 and 3.4.44, 3.5.28 and 3.5.30; Debian's 3.4 is older",
  },
  {
    store: "etcd-3.4",
    case: "v3election > does not tell a candidate whose key has gone that it leads",
    reason: "etcd tells it so (etcd#19597)",
  },
  {
    store: "etcd-3.5",
    case: "v3election > does not tell a candidate whose key has gone that it leads",
    reason: "etcd tells it so (etcd#19597)",
  },
  {
    store: "etcd-3.4",
    case: "v3lock > refuses a waiter whose lease has ended",
    reason: "etcd 3.4 tells it that it holds the lock (fixed in 3.5)",
  },
];
