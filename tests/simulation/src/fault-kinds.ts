/** Everything that can go wrong in a simulated world. */
export const FAULT_KINDS = [
  // Messages.
  "slow-messages",
  "reordered-connections",
  "request-lost",
  "reply-lost",
  "connection-cut",
  "half-open",
  "partition",
  // The store.
  "commit-late",
  "member-freeze",
  "member-lag",
  "member-restart",
  "member-isolated",
  "etcd-leader-change",
  "quorum-loss",
  "busy-store",
  "compaction",
  // By hand.
  "key-deletion",
  "lease-revocation",
  // Processes.
  "process-freeze",
  "process-suspend",
  "process-crash",
  "machine-crash",
  "process-stop",
  // Throughout a seed.
  "clock-drift",
  "clock-beyond-margin",
  "slow-consumer",
  // Company.
  "go-candidate",
] as const;

export type FaultKind = (typeof FAULT_KINDS)[number];
