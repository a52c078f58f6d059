import { describe, expect, it } from "vitest";
import { type EndpointFlags, endpointsPlan, exposure } from "./flags.ts";

describe("the flags of the endpoints", () => {
  it("are none, or addresses and names", () => {
    expect(endpointsPlan({})).toBeUndefined();
    expect(endpointsPlan({ http: "8008", httpHost: "Node-a,node-b.example", leaderPort: "[::1]:8009" })).toEqual({
      http: { host: "127.0.0.1", port: 8008 },
      hosts: ["node-a", "node-b.example"],
      tokenFile: undefined,
      agentCheck: undefined,
      leaderPort: { host: "::1", port: 8009 },
    });
  });

  it.each<[EndpointFlags, string]>([
    [{ http: "x" }, "--http"],
    [{ agentCheck: "70000" }, "--agent-check"],
    [{ leaderPort: "" }, "--leader-port"],
    [{ leaderPort: "0" }, "--leader-port"],
    [{ httpHost: "a" }, "--http-host needs --http"],
    [{ httpTokenFile: "a" }, "--http-token-file needs --http"],
    [{ http: "1", httpHost: "" }, "--http-host"],
    [{ http: "1", httpHost: "a,,b" }, "--http-host"],
    [{ http: "1", httpHost: "a:80" }, "--http-host"],
    [{ http: "8008", leaderPort: "127.0.0.1:8008" }, "given twice"],
  ])("%j is refused", (flags, message) => {
    expect(() => endpointsPlan(flags)).toThrow(
      expect.objectContaining({ exitCode: 64, message: expect.stringContaining(message) }),
    );
  });

  it("say when others can reach an address", () => {
    expect(exposure({ host: "127.0.0.1", port: 1 })).toBe("");
    expect(exposure({ host: "0.0.0.0", port: 1 })).toContain("not loopback");
  });
});
