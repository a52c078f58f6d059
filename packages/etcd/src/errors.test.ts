import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { abortedError, EtcdError, type EtcdErrorCode, fromStatus } from "./errors.ts";

describe("a status of etcd", () => {
  it.each<[number, string, EtcdErrorCode, boolean]>([
    [Code.InvalidArgument, "etcdserver: duplicate key given in txn request", "invalid-argument", false],
    [Code.DeadlineExceeded, "context deadline exceeded", "deadline-exceeded", true],
    [Code.NotFound, "etcdserver: requested lease not found", "not-found", false],
    [Code.AlreadyExists, "it exists", "failed-precondition", false],
    [Code.FailedPrecondition, "etcdserver: lease already exists", "failed-precondition", false],
    [Code.PermissionDenied, "etcdserver: permission denied", "permission-denied", false],
    [Code.ResourceExhausted, "etcdserver: too many requests", "unavailable", true],
    [Code.OutOfRange, "etcdserver: mvcc: required revision has been compacted", "compacted", false],
    [Code.OutOfRange, "etcdserver: mvcc: required revision is a future revision", "invalid-argument", false],
    [Code.OutOfRange, "etcdserver: too large lease TTL", "invalid-argument", false],
    [Code.Unimplemented, "unknown service", "unimplemented", false],
    [Code.Unauthenticated, "etcdserver: invalid auth token", "unauthenticated", false],
    [Code.InvalidArgument, "etcdserver: user name is empty", "unauthenticated", false],
    [Code.InvalidArgument, "etcdserver: revision of auth store is old", "unauthenticated", false],
    [Code.InvalidArgument, "etcdserver: authentication failed, invalid user ID or password", "unauthenticated", false],
    [Code.Unknown, "lease: not a primary lessor", "unavailable", true],
    [Code.Unknown, "something else", "internal", true],
    [Code.Canceled, "context canceled", "unavailable", true],
    [Code.Aborted, "aborted", "unavailable", true],
    [Code.Unavailable, "etcdserver: no leader", "unavailable", false],
    [Code.FailedPrecondition, "etcdserver: rpc not supported for learner", "unavailable", false],
    [Code.Unavailable, "etcdserver: leader changed", "unavailable", true],
    [Code.Unavailable, "etcdserver: request timed out", "unavailable", true],
    [Code.Internal, "panic", "internal", true],
    [Code.DataLoss, "etcdserver: corrupt cluster", "internal", true],
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

  it("made from Connect's has its code, its text without a prefix, and it as the cause", () => {
    const cause = new ConnectError("etcdserver: permission denied", Code.PermissionDenied);
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
