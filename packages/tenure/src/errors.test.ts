import { describe, expect, it } from "vitest";
import { quoted, TenureError, withPermissionHelp } from "./errors.ts";

const denied = new TenureError("permission-denied", "etcdserver: permission denied");

describe("help with a missing permission", () => {
  it("names the user, the keys and the command that grants it, and keeps the error as its cause", () => {
    const error = withPermissionHelp(denied, "app/jobs/", "worker");
    expect(error).toMatchObject({ name: "TenureError", code: "permission-denied", cause: denied });
    expect(error.message).toContain('user "worker"');
    expect(error.message).toContain('the keys under "app/jobs/"');
    expect(error.message).toContain('etcdctl role grant-permission ROLE readwrite --prefix "app/jobs/"');
  });

  it("speaks of this client where no user was given", () => {
    const { message } = withPermissionHelp(denied, "jobs/", undefined);
    expect(message).toMatch(/^this client has no permission/);
    expect(message).not.toContain("undefined");
  });

  it("finds etcd's words anywhere in the message, as a cancelled watch has them", () => {
    const words = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
    const error = withPermissionHelp(new TenureError("permission-denied", words), "jobs/", "worker");
    expect(error.message).toContain("grant-permission");
  });

  it.each([
    new TenureError("permission-denied", "the answer is not gRPC but HTTP status 403"),
    new TenureError("unauthenticated", "etcdserver: invalid auth token"),
    new TenureError("unavailable", "etcdserver: permission denied"),
  ])("leaves any other error as it is: $message", (error) => {
    expect(withPermissionHelp(error, "jobs/", "worker")).toBe(error);
  });
});

describe("a text in quotes", () => {
  it("has no control characters in it, those above ASCII included", () => {
    expect(quoted('a"b\n\u007f\u009b31m')).toBe('"a\\"b\\n\\u007f\\u009b31m"');
  });
});
