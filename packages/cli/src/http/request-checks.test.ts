import { describe, expect, it } from "vitest";
import { refusalOf } from "./request-checks.ts";

/** What a request with these headers is refused with. */
function refused(headers: Record<string, string>, { method = "GET", httpVersion = "1.1", more = [] as string[] } = {}) {
  const rawHeaders = [...Object.entries(headers).flat(), ...more];
  const socket = { localAddress: "::ffff:10.0.0.5" };
  return refusalOf({ method, httpVersion, headers, rawHeaders, socket }, new Set(["node-a.example"]))?.status;
}

describe("requests", () => {
  it.each(["localhost", "localhost:8008", "127.0.0.1:8008", "127.9.9.9", "[::1]:1", "10.0.0.5:80", "Node-A.example:8"])(
    "to the host %s are answered",
    (host) => expect(refused({ host })).toBeUndefined(),
  );

  it.each([
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "127.evil.example",
    "node-a.example.evil",
    "10.0.0.6",
    "localhost@evil.example",
    "localhost:99999999",
    "localhost evil",
    "[fe80::1]",
    "0x7f000001",
    "2130706433",
    "",
  ])("to the host %j are refused", (host) => expect(refused({ host })).toBe(403));

  it("have one Host, or none in the old version as health checks send it", () => {
    expect(refused({})).toBe(400);
    expect(refused({}, { httpVersion: "1.0" })).toBeUndefined();
    expect(refused({ host: "localhost" }, { more: ["HOST", "evil.example"] })).toBe(400);
  });

  it.each([
    ["http://localhost:8008", undefined],
    ["http://localhost", 403],
    ["https://localhost:8008", 403],
    ["http://evil.example", 403],
    ["null", 403],
    ["", 403],
  ])("from the origin %j get %s", (origin, status) => {
    expect(refused({ host: "localhost:8008", origin })).toBe(status);
  });

  it.each([
    ["same-origin", "cors", undefined],
    ["none", "navigate", undefined],
    ["cross-site", "navigate", undefined],
    ["cross-site", "no-cors", 403],
    ["same-site", "navigate", undefined],
    ["same-site", "no-cors", 403],
  ])("that a browser marks as %s and %s get %s", (site, mode, status) => {
    expect(refused({ host: "localhost", "sec-fetch-site": site, "sec-fetch-mode": mode })).toBe(status);
  });

  it("are no forms of other sites", () => {
    const form = { host: "localhost", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" };
    expect(refused(form, { method: "POST" })).toBe(403);
  });
});
