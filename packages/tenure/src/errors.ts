import { EtcdError } from "@tenure/etcd";

/** Everything that can go wrong, as a closed set. */
export type TenureErrorCode =
  /** The caller's signal aborted the wait. */
  | "aborted"
  /** The store cannot be reached, or has no leader of its own. */
  | "unavailable"
  | "deadline-exceeded"
  /** This term has been resigned, or never was. */
  | "not-leader"
  /** The term ended without being resigned: its lease can no longer be proven, or its key is gone. */
  | "leadership-lost"
  /** The lease a call depended on is gone. */
  | "session-ended"
  | "invalid-argument"
  | "unauthenticated"
  | "permission-denied"
  | "compacted"
  /** A quota, a size limit or a rate limit of the store. */
  | "resource-exhausted"
  /** The store is another one than before, or was set back. */
  | "cluster-changed"
  /** A key under the election's prefix belongs to something else. */
  | "nested-election"
  | "unimplemented"
  | "internal";

/** The one error class of this package. */
export class TenureError extends Error {
  override readonly name: string = "TenureError";
  /** One of a closed set, for programs; the message is for people. */
  readonly code: TenureErrorCode;

  constructor(code: TenureErrorCode, message: string, options: { readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
  }

  /** Makes a TenureError of anything thrown. */
  static from(thrown: unknown): TenureError {
    if (thrown instanceof TenureError) return thrown;
    const error = EtcdError.from(thrown);
    return new TenureError(codeOf(error), error.message, { cause: thrown });
  }
}

function codeOf(error: EtcdError): TenureErrorCode {
  switch (error.code) {
    case "not-found":
      return error.message.includes("lease") ? "session-ended" : "invalid-argument";
    case "failed-precondition":
      return "invalid-argument";
    default:
      return error.code;
  }
}

/** Errors that another attempt cannot mend: they are told to the caller instead of being waited out. */
export function isFatal(error: TenureError): boolean {
  switch (error.code) {
    case "invalid-argument":
    case "unauthenticated":
    case "permission-denied":
    case "nested-election":
    case "resource-exhausted":
    case "unimplemented":
      return true;
    case "aborted":
    case "unavailable":
    case "deadline-exceeded":
    case "not-leader":
    case "leadership-lost":
    case "session-ended":
    case "compacted":
    case "cluster-changed":
    case "internal":
      return false;
  }
}

/** Says what a missing permission is about, and how to grant it. Other errors are returned as they are. */
export function withPermissionHelp(error: TenureError, prefix: string, user: string | undefined): TenureError {
  if (error.code !== "permission-denied" || !error.message.includes("etcdserver: permission denied")) return error;
  const who = user === undefined ? "this client" : `user "${user}"`;
  const message =
    `${who} has no permission for the keys under "${prefix}"; ` +
    `grant it: etcdctl role grant-permission ROLE readwrite --prefix "${prefix}"`;
  return new TenureError("permission-denied", message, { cause: error });
}

/** The error for a wait that its caller aborted. */
export function abortedError(signal: AbortSignal): TenureError {
  return new TenureError("aborted", "aborted by the caller", { cause: signal.reason });
}
