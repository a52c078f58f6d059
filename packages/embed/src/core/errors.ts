/** Status codes of gRPC, as far as this server uses them. */
export const GrpcCode = {
  ok: 0,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  resourceExhausted: 8,
  failedPrecondition: 9,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
} as const;

/** A refusal, as a client of etcd sees it: the gRPC status code and etcd's own text, which clients match on. */
export class EtcdServerError extends Error {
  /** gRPC status code, see {@link GrpcCode}. */
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.name = "EtcdServerError";
    this.code = code;
  }
}

/** What etcd refuses, as far as this server does. */
export type Refusal =
  | "emptyKey"
  | "keyNotFound"
  | "valueProvided"
  | "leaseProvided"
  | "tooManyOps"
  | "duplicateKey"
  | "invalidSortOption"
  | "requestTooLarge"
  | "compacted"
  | "futureRevision"
  | "leaseNotFound"
  | "leaseExists"
  | "leaseTtlTooLarge"
  | "authNotEnabled"
  | "stopped";

const REFUSALS: Readonly<Record<Refusal, readonly [code: number, message: string]>> = {
  emptyKey: [GrpcCode.invalidArgument, "etcdserver: key is not provided"],
  keyNotFound: [GrpcCode.invalidArgument, "etcdserver: key not found"],
  valueProvided: [GrpcCode.invalidArgument, "etcdserver: value is provided"],
  leaseProvided: [GrpcCode.invalidArgument, "etcdserver: lease is provided"],
  tooManyOps: [GrpcCode.invalidArgument, "etcdserver: too many operations in txn request"],
  duplicateKey: [GrpcCode.invalidArgument, "etcdserver: duplicate key given in txn request"],
  invalidSortOption: [GrpcCode.invalidArgument, "etcdserver: invalid sort option"],
  requestTooLarge: [GrpcCode.invalidArgument, "etcdserver: request is too large"],
  compacted: [GrpcCode.outOfRange, "etcdserver: mvcc: required revision has been compacted"],
  futureRevision: [GrpcCode.outOfRange, "etcdserver: mvcc: required revision is a future revision"],
  leaseNotFound: [GrpcCode.notFound, "etcdserver: requested lease not found"],
  leaseExists: [GrpcCode.failedPrecondition, "etcdserver: lease already exists"],
  leaseTtlTooLarge: [GrpcCode.outOfRange, "etcdserver: too large lease TTL"],
  authNotEnabled: [GrpcCode.failedPrecondition, "etcdserver: authentication is not enabled"],
  stopped: [GrpcCode.unavailable, "etcdserver: server stopped"],
};

/** Makes one of etcd's refusals, ready to be thrown. */
export function refusal(name: Refusal): EtcdServerError {
  const [code, message] = REFUSALS[name];
  return new EtcdServerError(code, message);
}
