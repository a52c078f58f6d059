import type { TenureErrorCode } from "tenure";

/** What the command's exit code says; the numbers follow sysexits.h. */
export const ExitCode = {
  ok: 0,
  /** `leader`, `resign` and `transfer`: nobody leads. */
  noLeader: 3,
  usage: 64,
  unreachable: 69,
  internal: 70,
  /** `dev`, `run`: an address cannot be listened on. */
  cannotListen: 73,
  /** `dev`: the data directory cannot be written. */
  cannotWrite: 74,
  notElected: 75,
  permission: 77,
  configuration: 78,
  leadershipLost: 79,
} as const;

/** The exit code of an error. */
export function exitCodeOf(code: TenureErrorCode): number {
  switch (code) {
    case "invalid-argument":
      return ExitCode.usage;
    case "unavailable":
    case "deadline-exceeded":
    case "resource-exhausted":
    case "cluster-changed":
    case "compacted":
    case "unimplemented":
      return ExitCode.unreachable;
    case "unauthenticated":
    case "permission-denied":
      return ExitCode.permission;
    case "nested-election":
      return ExitCode.configuration;
    case "leadership-lost":
    case "not-leader":
    case "session-ended":
      return ExitCode.leadershipLost;
    case "aborted":
    case "internal":
      return ExitCode.internal;
  }
}

/** Mistakes that are told in one line each, with the exit code they ask for. */
export class CommandError extends Error {
  readonly exitCode: number;
  readonly lines: readonly string[];

  constructor(exitCode: number, ...lines: readonly [string, ...string[]]) {
    super(lines.join("; "));
    this.exitCode = exitCode;
    this.lines = lines;
  }
}
