// The examples that cannot be run in a test: they are YAML, and what they ask of us is there.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parseAllDocuments } from "yaml";
import { createProgram } from "../program.ts";
import { routed } from "./routes.ts";
import { ServiceBench } from "./testing/fixtures.ts";

function documents(file: string): unknown[] {
  const text = readFileSync(new URL(`../../../../examples/${file}`, import.meta.url), "utf8");
  return parseAllDocuments(text, { strict: true }).map((document): unknown => {
    for (const problem of [...document.errors, ...document.warnings]) throw problem;
    return document.toJS();
  });
}

/** All values of a key, however deep. */
function valuesOf(key: string, value: unknown): unknown[] {
  if (typeof value !== "object" || value === null) return [];
  const own = key in value ? [(value as Record<string, unknown>)[key]] : [];
  return [...own, ...Object.values(value).flatMap((each) => valuesOf(key, each))];
}

/** The code that a leader answers a path with. */
function statusOf(path: unknown): number {
  const bench = new ServiceBench();
  bench.lead();
  const answer = routed(String(path), {
    services: [bench.service],
    status: () => ({}),
    metrics: () => Buffer.from(""),
  });
  return "t" in answer ? 0 : answer.status;
}

describe("the example for Envoy", () => {
  const [config] = documents("envoy/envoy.yaml");

  it("asks a route that a leader answers, on the port of --http, and panics never", () => {
    expect(valuesOf("http_health_check", config)).toEqual([{ host: "localhost", path: "/leader" }]);
    expect(statusOf("/leader")).toBe(200);
    expect(valuesOf("health_check_config", config)).toEqual(Array(3).fill({ port_value: 8008 }));
    expect(valuesOf("healthy_panic_threshold", config)).toEqual([{ value: 0 }]);
  });
});

describe("the example for Kubernetes", () => {
  const all = documents("kubernetes/my-service.yaml");

  it("has what belongs together, by name", () => {
    const kinds = ["Deployment", "Service", "Service", "ServiceAccount", "Role", "RoleBinding"];
    expect(all.flatMap((each) => valuesOf("kind", each).slice(0, 1))).toEqual(kinds);
    const [template] = valuesOf("template", all);
    const [labels] = valuesOf("labels", template);
    expect(labels).toEqual({ app: "my-service", role: "standby" });
    expect(valuesOf("defaultMode", all)).toEqual([0o440]);
  });

  it("probes routes that a leader answers, and never whether it leads", () => {
    const paths = valuesOf("httpGet", all).map((probe) => (probe as { readonly path: string }).path);
    expect(paths).toEqual(["/livez", "/readyz"]);
    expect(paths.map(statusOf)).toEqual([200, 200]);
  });

  it("starts the command with flags that there are", () => {
    const [words] = valuesOf("command", all) as [string[]];
    const flags = words.slice(0, words.indexOf("--")).flatMap((word) => /^--[a-z-]+/.exec(word) ?? []);
    const program = createProgram(() => undefined);
    const run = program.commands.find((command) => command.name() === "run");
    const known = [...program.options, ...(run?.options ?? [])].map(({ long }) => long);
    expect(flags.length).toBeGreaterThan(5);
    expect(flags.filter((flag) => !known.includes(flag))).toEqual([]);
  });
});
