import { describe, expect, it } from "vitest";
import { faultsOf } from "./known-faults.ts";

const references = (version: string): string => (faultsOf(version)?.faults ?? []).map((f) => f.reference).join(" ");

describe("what is known against an etcd release", () => {
  it.each(["3.5.33", "3.6.14", "3.7.1", "3.8.0", "4.0.0"])("is nothing for %s", (version) => {
    expect(faultsOf(version)).toBeUndefined();
  });

  it.each([
    ["3.5.2", "etcd#13766"],
    ["3.4.22", "etcd#15220"],
    ["3.5.12", "etcd#15247"],
    ["3.5.22", "etcd#20590"],
    ["3.6.4", "etcd#20590"],
    ["3.4.41", "etcd#20418"],
    ["3.5.27", "CVE-2026-33413"],
    ["3.6.8", "etcd#20418"],
    ["3.6.10", "CVE-2026-44283"],
    ["3.7.0", "GHSA-xg4h-6gfc-h4m8"],
    ["3.4.99", "GHSA-xg4h-6gfc-h4m8"],
  ])("of %s names %s", (version, reference) => {
    expect(references(version)).toContain(reference);
  });

  it.each([
    ["3.5.3", "etcd#13766"],
    ["3.4.0", "etcd#13766"],
    ["3.5.13", "etcd#15247"],
    ["3.5.23", "etcd#20590"],
    ["3.6.5", "etcd#20590"],
    ["3.5.28", "etcd#20418"],
    ["3.6.9", "CVE-2026-33413"],
  ])("of %s does not name %s any more", (version, reference) => {
    expect(references(version)).not.toContain(reference);
  });

  it("names the release of the same line that has none of it, or another line where there is none", () => {
    expect(faultsOf("3.5.30")?.advice).toBe("update to 3.5.33 or newer");
    expect(faultsOf("3.6.0")?.advice).toBe("update to 3.6.14 or newer");
    expect(faultsOf("3.4.44")?.advice).toContain("3.5.33, 3.6.14");
  });

  it("says of what is older than 3.4 that it is too old", () => {
    expect(faultsOf("3.3.27")?.faults[0]?.what).toContain("older than");
    expect(faultsOf("2.3.8")?.faults).toHaveLength(1);
  });

  it("takes a pre-release for its release, and nothing for a version that cannot be read", () => {
    expect(references("3.6.0-rc.1")).toContain("etcd#20590");
    expect(faultsOf("unknown")).toBeUndefined();
    expect(faultsOf("")).toBeUndefined();
  });
});
