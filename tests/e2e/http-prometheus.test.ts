// What Prometheus' own tool says of our metrics, and of the files in examples/prometheus.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findPromtool, skipPromtool } from "../../scripts/lib/promtool.mjs";
import { parseMetrics } from "../../packages/cli/src/http/testing/parse-metrics.ts";
import { launch } from "../support/children.ts";
import { root } from "../support/process.ts";
import { type RealEtcd, startEtcd } from "../support/real-etcd.ts";
import { settled, until } from "../support/until.ts";
import { answers, get, portOf } from "./http-client.ts";
import { started, supervise } from "./supervised.ts";

const START_MS = 25_000;
const examples = join(root, "examples/prometheus");
const textOf = (file: string): string => readFileSync(join(root, file), "utf8");

/** Runs promtool in the folder of the examples: its exit code, and all that it said. */
async function promtool(
  args: readonly string[],
  stdin = "",
): Promise<{ readonly code: number; readonly said: string }> {
  const { bin, env } = await findPromtool();
  const child = launch(bin, args, { cwd: examples, env: { ...process.env, ...env } });
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (said += chunk));
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (said += chunk));
  child.stdin.on("error", () => undefined).end(stdin);
  const closed = new Promise<number>((resolve) => void child.once("close", (code) => resolve(code ?? -1)));
  return { code: await settled(closed, { what: `end of promtool ${args.join(" ")}`, timeoutMs: 60_000 }), said };
}

describe("metrics", { timeout: 90_000 }, () => {
  let store: RealEtcd;
  let text: string;
  beforeAll(async () => {
    store = await startEtcd();
    const hooks = [
      "--pre-promote",
      "true",
      "--on-promote",
      "false",
      "--on-demote",
      "true",
      "--on-leader-change",
      "true",
    ];
    const flags = ["--http", "0", "--on-exit", "resign", "--health-cmd", "true", "--health-interval", "0.1", ...hooks];
    await using other = supervise(store, "metrics");
    await started(other, START_MS);
    await using node = supervise(store, "metrics", { flags });
    const port = await portOf(node);
    await answers(port, "/standby", 200);
    other.signal("SIGTERM");
    const { pid } = await started(node, START_MS);
    /** The metrics once the hook that tells of the start has run so often: it runs beside the program. */
    const toldTimes = (count: number): Promise<string> => {
      const told = new RegExp(
        `^tenure_hook_duration_seconds_count\\{.*hook="on-promote",result="failed"\\} ${count}$`,
        "m",
      );
      const scrape = async (): Promise<string | false> => {
        const { body } = await get(port, "/metrics");
        return told.test(body) && body;
      };
      return until(scrape, { what: `run ${count} of the hook`, timeoutMs: 20_000 });
    };
    await toldTimes(1);
    // A second term, so that there is an end to tell of.
    process.kill(pid, "SIGKILL");
    await started(node, START_MS);
    text = await toldTimes(2);
  });
  afterAll(() => store.stop());

  it("tell of hooks, health and the queue", () => {
    const samples = parseMetrics(text);
    const valueOf = (name: string, labels: Readonly<Record<string, string>> = {}): number | undefined =>
      samples.find((each) => each.name === name && Object.entries(labels).every(([key, v]) => each.labels[key] === v))
        ?.value;
    const runs = (hook: string, result: string) => valueOf("tenure_hook_duration_seconds_count", { hook, result });
    expect([runs("pre-promote", "ok"), runs("on-promote", "failed"), runs("on-demote", "ok")]).toEqual([2, 2, 1]);
    const failures = ["pre-promote", "on-promote"].map((hook) => valueOf("tenure_hook_failures_total", { hook }));
    expect(failures).toEqual([0, 2]);
    const now = ["candidates", "eligible", "paused", "healthy"].map((name) => valueOf(`tenure_${name}`));
    expect(now).toEqual([1, 1, 0, 1]);
    expect(valueOf("tenure_keepalive_age_seconds")).toBeLessThan(10);
  });

  it("are those of the documents, and those that the alerts look at", () => {
    const given = new Set([...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name = ""]) => name));
    const documented = [...textOf("docs/metrics.md").matchAll(/`((?:tenure|process)_\w+)`/g)].map(
      ([, name = ""]) => name,
    );
    expect(new Set(documented)).toEqual(given);
    const alerts = textOf("examples/prometheus/tenure.rules.yml").matchAll(/\b(tenure_\w+?)(?:_bucket|_count)?\b/g);
    expect([...alerts].map(([, name = ""]) => name).filter((name) => !given.has(name))).toEqual([]);
  });

  it.skipIf(skipPromtool)("have no fault that promtool finds", async () => {
    expect(await promtool(["check", "metrics"], text)).toEqual({ code: 0, said: "" });
    const wrong = text.replaceAll("tenure_terms_total", "tenure_terms");
    expect(await promtool(["check", "metrics"], wrong)).toMatchObject({
      said: expect.stringContaining("tenure_terms"),
    });
  });
});

describe.skipIf(skipPromtool)("the examples for Prometheus", () => {
  it.each([
    [["check", "config", "prometheus.yml"]],
    [["check", "rules", "tenure.rules.yml"]],
    [["test", "rules", "tenure.rules.test.yml"]],
  ])("pass promtool %j", async (args) => {
    const { code, said } = await promtool(args);
    expect([code, said]).toEqual([0, expect.stringContaining("SUCCESS")]);
  });
});
