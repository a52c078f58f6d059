import { describe, expect, it } from "vitest";
import { abortedError, EtcdError, type EtcdErrorCode, fromStatus } from "./errors.ts";
import { GrpcError, GrpcStatus } from "./rpc/status.ts";

describe("a status of etcd", () => {
  it.each<[number, string, EtcdErrorCode, boolean]>([
    [GrpcStatus.invalidArgument, "etcdserver: duplicate key given in txn request", "invalid-argument", false],
    [GrpcStatus.deadlineExceeded, "context deadline exceeded", "deadline-exceeded", true],
    [GrpcStatus.notFound, "etcdserver: requested lease not found", "not-found", false],
    [GrpcStatus.alreadyExists, "it exists", "failed-precondition", false],
    [GrpcStatus.failedPrecondition, "etcdserver: lease already exists", "failed-precondition", false],
    [GrpcStatus.permissionDenied, "etcdserver: permission denied", "permission-denied", false],
    [GrpcStatus.resourceExhausted, "etcdserver: too many requests", "unavailable", true],
    [GrpcStatus.outOfRange, "etcdserver: mvcc: required revision has been compacted", "compacted", false],
    [GrpcStatus.outOfRange, "etcdserver: mvcc: required revision is a future revision", "invalid-argument", false],
    [GrpcStatus.outOfRange, "etcdserver: too large lease TTL", "invalid-argument", false],
    [GrpcStatus.unimplemented, "unknown service", "unimplemented", false],
    [GrpcStatus.unauthenticated, "etcdserver: invalid auth token", "unauthenticated", false],
    [GrpcStatus.invalidArgument, "etcdserver: user name is empty", "unauthenticated", false],
    [GrpcStatus.invalidArgument, "etcdserver: revision of auth store is old", "unauthenticated", false],
    [
      GrpcStatus.invalidArgument,
      "etcdserver: authentication failed, invalid user ID or password",
      "unauthenticated",
      false,
    ],
    [GrpcStatus.unknown, "lease: not a primary lessor", "unavailable", true],
    [GrpcStatus.unknown, "something else", "internal", true],
    [GrpcStatus.canceled, "context canceled", "unavailable", true],
    [GrpcStatus.aborted, "aborted", "unavailable", true],
    [GrpcStatus.unavailable, "etcdserver: no leader", "unavailable", false],
    [GrpcStatus.failedPrecondition, "etcdserver: rpc not supported for learner", "unavailable", false],
    [GrpcStatus.unavailable, "etcdserver: leader changed", "unavailable", true],
    [GrpcStatus.unavailable, "etcdserver: request timed out", "unavailable", true],
    [GrpcStatus.internal, "panic", "internal", true],
    [GrpcStatus.dataLoss, "etcdserver: corrupt cluster", "internal", true],
    [99, "from the future", "internal", true],
  ])("%d %j is %s, which may have applied: %s", (status, message, code, mayHaveApplied) => {
    const error = fromStatus(status, message);
    expect(error).toMatchObject({ code, message, mayHaveApplied, name: "EtcdError" });
  });

  it("without a text names its number", () => {
    expect(fromStatus(13, "").message).toBe("gRPC status 13");
  });
});

describe("an error", () => {
  it("takes what its maker knows over what its code says", () => {
    expect(new EtcdError("unavailable", "refused", { mayHaveApplied: false }).mayHaveApplied).toBe(false);
    expect(new EtcdError("not-found", "gone", { mayHaveApplied: true }).mayHaveApplied).toBe(true);
  });

  it("has a cause only where one is given", () => {
    const cause = new Error("why");
    expect(new EtcdError("internal", "what", { cause }).cause).toBe(cause);
    expect("cause" in new EtcdError("internal", "what")).toBe(false);
  });

  it("made from itself is the same", () => {
    const error = new EtcdError("not-found", "gone");
    expect(EtcdError.from(error)).toBe(error);
  });

  it("made from one with a status of gRPC has the code for it, its text, and it as the cause", () => {
    const cause = new GrpcError(GrpcStatus.permissionDenied, "etcdserver: permission denied");
    expect(EtcdError.from(cause)).toMatchObject({
      code: "permission-denied",
      message: "etcdserver: permission denied",
      cause,
    });
  });

  it("made from anything else is internal and keeps what was thrown", () => {
    const thrown = new TypeError("x is not a function");
    expect(EtcdError.from(thrown)).toMatchObject({ code: "internal", message: "x is not a function", cause: thrown });
    expect(EtcdError.from("text")).toMatchObject({ code: "internal", message: "text" });
    expect(EtcdError.from(undefined)).toMatchObject({ code: "internal", message: "undefined" });
  });

  it("for an aborted call carries the reason, and the call may have applied", () => {
    const reason = new Error("enough");
    expect(abortedError(AbortSignal.abort(reason))).toMatchObject({
      code: "aborted",
      cause: reason,
      mayHaveApplied: true,
    });
  });
});
