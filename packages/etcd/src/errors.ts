import { GrpcError, GrpcStatus } from "./rpc/status.ts";

/** Everything that can go wrong in a call to etcd. */
export type EtcdErrorCode =
  /** The caller's signal aborted the call. */
  | "aborted"
  /** No endpoint answered, the connection broke, or the cluster has no leader. */
  | "unavailable"
  | "deadline-exceeded"
  | "invalid-argument"
  /** What the call names, a lease for instance, does not exist. */
  | "not-found"
  | "failed-precondition"
  /** Wrong password, a missing or an outdated token. */
  | "unauthenticated"
  | "permission-denied"
  /** The revision asked for is no longer kept. */
  | "compacted"
  /** A quota, a size limit or a rate limit of the server. */
  | "resource-exhausted"
  | "unimplemented"
  | "internal";

/** What else is known of a failed call. */
export interface EtcdErrorOptions {
  readonly cause?: unknown;
  /** False when the request certainly changed nothing. Default: derived from the code. */
  readonly mayHaveApplied?: boolean;
  /** The oldest revision still kept, where the code is `compacted` and the server named it. */
  readonly compactRevision?: bigint;
}

/** The one error class of this package. */
export class EtcdError extends Error {
  override readonly name: string = "EtcdError";
  /** One of a closed set, for programs; the message is for people. */
  readonly code: EtcdErrorCode;
  /** False when the request certainly changed nothing, true when it is not known. */
  readonly mayHaveApplied: boolean;
  readonly compactRevision: bigint | undefined;

  constructor(code: EtcdErrorCode, message: string, options: EtcdErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.mayHaveApplied = options.mayHaveApplied ?? AMBIGUOUS.has(code);
    this.compactRevision = options.compactRevision;
  }

  /** Makes an EtcdError of anything thrown: itself, an error with gRPC's status, an abort reason, any other value. */
  static from(thrown: unknown): EtcdError {
    if (thrown instanceof EtcdError) return thrown;
    if (thrown instanceof GrpcError) return fromStatus(thrown.status, thrown.message, thrown);
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    return new EtcdError("internal", message, { cause: thrown });
  }
}

/** Codes after which a write may or may not have been carried out. Any other answer is a refusal. */
const AMBIGUOUS: ReadonlySet<EtcdErrorCode> = new Set(["aborted", "unavailable", "deadline-exceeded", "internal"]);

/** Messages by which etcd refuses a call for want of a good token, whatever their status code (rpctypes/error.go). */
const AUTH_MESSAGES: readonly string[] = [
  "invalid auth token",
  "user name is empty",
  "revision of auth store is old",
  "invalid user ID or password",
];

/** The error that stands for a gRPC status of etcd. */
export function fromStatus(status: number, message: string, cause?: unknown): EtcdError {
  const refused = ELSEWHERE_MESSAGES.some((text) => message.includes(text));
  const code = refused ? "unavailable" : codeOf(status, message);
  return new EtcdError(code, message || `gRPC status ${status}`, { cause, ...(refused && { mayHaveApplied: false }) });
}

/** Messages of a member that looks at nothing we ask, while another one may: it sees no leader, or only learns. */
const ELSEWHERE_MESSAGES: readonly string[] = ["etcdserver: no leader", "not supported for learner"];

/** Messages of a server that is busy or changes its leader, whatever their status code: a later try will do. */
const PASSING_MESSAGES: readonly string[] = ["not a primary lessor", "raft proposal dropped", "too many requests"];

function codeOf(status: number, message: string): EtcdErrorCode {
  if (PASSING_MESSAGES.some((text) => message.includes(text))) return "unavailable";
  if (AUTH_MESSAGES.some((text) => message.includes(text))) return "unauthenticated";
  switch (status) {
    case GrpcStatus.invalidArgument:
      return "invalid-argument";
    case GrpcStatus.deadlineExceeded:
      return "deadline-exceeded";
    case GrpcStatus.notFound:
      return "not-found";
    case GrpcStatus.alreadyExists:
    case GrpcStatus.failedPrecondition:
      return "failed-precondition";
    case GrpcStatus.permissionDenied:
      return "permission-denied";
    case GrpcStatus.resourceExhausted:
      return "resource-exhausted";
    case GrpcStatus.outOfRange:
      return message.includes("compacted") ? "compacted" : "invalid-argument";
    case GrpcStatus.unimplemented:
      return "unimplemented";
    case GrpcStatus.unauthenticated:
      return "unauthenticated";
    case GrpcStatus.canceled:
    case GrpcStatus.aborted:
    case GrpcStatus.unavailable:
      return "unavailable";
    default:
      return "internal";
  }
}

/** The error for a call that its caller aborted. */
export function abortedError(signal: AbortSignal): EtcdError {
  return new EtcdError("aborted", "the call was aborted", { cause: signal.reason });
}
