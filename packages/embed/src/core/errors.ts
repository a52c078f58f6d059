/** Status codes of gRPC, as far as this server uses them. */
export const GrpcCode = {
  ok: 0,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
  unauthenticated: 16,
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
  | "noSpace"
  | "corrupt"
  | "rootUserNotExist"
  | "rootRoleNotExist"
  | "userAlreadyExist"
  | "userEmpty"
  | "userNotFound"
  | "roleAlreadyExist"
  | "roleNotFound"
  | "roleEmpty"
  | "authFailed"
  | "noPasswordUser"
  | "permissionNotGiven"
  | "permissionDenied"
  | "roleNotGranted"
  | "permissionNotGranted"
  | "authNotEnabled"
  | "invalidAuthToken"
  | "invalidAuthMgmt"
  | "authOldRevision"
  | "memberBadUrls"
  | "memberNotFound"
  | "memberNotLearner"
  | "memberNotEnoughStarted"
  | "badLeaderTransferee"
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
  noSpace: [GrpcCode.resourceExhausted, "etcdserver: mvcc: database space exceeded"],
  corrupt: [GrpcCode.dataLoss, "etcdserver: corrupt cluster"],
  rootUserNotExist: [GrpcCode.failedPrecondition, "etcdserver: root user does not exist"],
  rootRoleNotExist: [GrpcCode.failedPrecondition, "etcdserver: root user does not have root role"],
  userAlreadyExist: [GrpcCode.failedPrecondition, "etcdserver: user name already exists"],
  userEmpty: [GrpcCode.invalidArgument, "etcdserver: user name is empty"],
  userNotFound: [GrpcCode.failedPrecondition, "etcdserver: user name not found"],
  roleAlreadyExist: [GrpcCode.failedPrecondition, "etcdserver: role name already exists"],
  roleNotFound: [GrpcCode.failedPrecondition, "etcdserver: role name not found"],
  roleEmpty: [GrpcCode.invalidArgument, "etcdserver: role name is empty"],
  authFailed: [GrpcCode.invalidArgument, "etcdserver: authentication failed, invalid user ID or password"],
  // etcd has no status for this one.
  noPasswordUser: [GrpcCode.unknown, "auth: authentication failed, password was given for no password user"],
  permissionNotGiven: [GrpcCode.invalidArgument, "etcdserver: permission not given"],
  permissionDenied: [GrpcCode.permissionDenied, "etcdserver: permission denied"],
  roleNotGranted: [GrpcCode.failedPrecondition, "etcdserver: role is not granted to the user"],
  permissionNotGranted: [GrpcCode.failedPrecondition, "etcdserver: permission is not granted to the role"],
  authNotEnabled: [GrpcCode.failedPrecondition, "etcdserver: authentication is not enabled"],
  invalidAuthToken: [GrpcCode.unauthenticated, "etcdserver: invalid auth token"],
  invalidAuthMgmt: [GrpcCode.invalidArgument, "etcdserver: invalid auth management"],
  authOldRevision: [GrpcCode.invalidArgument, "etcdserver: revision of auth store is old"],
  memberBadUrls: [GrpcCode.invalidArgument, "etcdserver: given member URLs are invalid"],
  memberNotFound: [GrpcCode.notFound, "etcdserver: member not found"],
  memberNotLearner: [GrpcCode.failedPrecondition, "etcdserver: can only promote a learner member"],
  // etcd means to send another status and does not.
  memberNotEnoughStarted: [GrpcCode.unknown, "etcdserver: re-configuration failed due to not enough started members"],
  badLeaderTransferee: [GrpcCode.failedPrecondition, "etcdserver: bad leader transferee"],
  stopped: [GrpcCode.unavailable, "etcdserver: server stopped"],
};

/** Makes one of etcd's refusals, ready to be thrown. */
export function refusal(name: Refusal): EtcdServerError {
  const [code, message] = REFUSALS[name];
  return new EtcdServerError(code, message);
}

/** The refusal of a method that makes no sense in one process. */
export function unsupported(method: string): EtcdServerError {
  const message = `${method} is not supported by the embedded etcd, which is one process: run etcd itself`;
  return new EtcdServerError(GrpcCode.unimplemented, message);
}

/** An error of authentication as some methods of etcd pass it on: in its inner words, with no status of its own. */
export function unmapped(error: unknown): unknown {
  if (!(error instanceof EtcdServerError)) return error;
  return new EtcdServerError(GrpcCode.unknown, error.message.replace(/^etcdserver: /, "auth: "));
}
