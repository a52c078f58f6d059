import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { CommandError } from "../exit-codes.ts";
import { type AgentConfig, readConfig } from "./config.ts";

const dir = mkdtempSync(join(tmpdir(), "tenure-config-"));
const file = join(dir, "tenure.yaml");
afterAll(() => rmSync(dir, { recursive: true }));

function read(text: string, flags: Parameters<typeof readConfig>[1] = {}, env: NodeJS.ProcessEnv = {}): AgentConfig {
  writeFileSync(file, text);
  return readConfig(file, flags, env);
}

/** The mistakes found, without the file's name. */
function mistakes(text: string): string[] {
  try {
    read(text);
  } catch (error) {
    if (!(error instanceof CommandError) || error.exitCode !== 78) throw error;
    return error.lines.map((line) => line.replace(`${file}:`, ""));
  }
  return [];
}

const service = '  job:\n    command: [sh, -c, "exit 0"]\n';

describe("an agent's file", () => {
  it("has the keys of the command's flags", () => {
    const { services, http, settings } = read(
      `endpoints: [http://a:1, http://b:2]
namespace: prod/
ttl: 20
http: 8008
http-host: [one, two]
http-token-file: secret
services:
  job:
    command: [sh, -c, "exit 0"]
    value: 10.0
    stop-signal: INT
    stop-timeout: 1.5
    on-exit: restart
    max-restarts: 7
    on-promote: ./up
`,
    );
    expect(settings.connect()).toMatchObject({ endpoints: ["http://a:1", "http://b:2"], namespace: "prod/" });
    expect(http).toEqual({ http: "8008", httpHost: "one,two", httpTokenFile: join(dir, "secret") });
    expect(services).toHaveLength(1);
    expect(services[0]?.plan).toMatchObject({
      election: "job",
      command: "sh",
      args: ["-c", "exit 0"],
      value: "10.0",
      stopSignal: "SIGINT",
      onExit: "restart",
      maxRestarts: 7,
      hooks: { "on-promote": "./up" },
      timings: { ttlMs: 20_000, stopTimeoutMs: 1500 },
      stdin: "ignore",
      electedWithinMs: undefined,
    });
  });

  it("goes before the environment, and behind the command line", () => {
    const text = `endpoints: http://file:1\nservices:\n${service}`;
    const env = { TENURE_ENDPOINTS: "http://env:1", TENURE_NAMESPACE: "env/" };
    expect(read(text, {}, env).settings.connect()).toMatchObject({ endpoints: ["http://file:1"], namespace: "env/" });
    const flags = { endpoints: "http://flag:1" };
    expect(read(text, flags, env).settings.connect()).toMatchObject({ endpoints: ["http://flag:1"] });
  });

  it("can have the members discovered, or DNS asked", () => {
    const { settings } = read(`discovery-srv: example.com\ndiscover-members: true\nservices:\n${service}`);
    expect(settings.connect()).toMatchObject({ discoverySrv: { domain: "example.com" }, discoverMembers: true });
  });

  it("finds files beside itself", () => {
    writeFileSync(join(dir, "password"), "S3cret\n");
    const { settings } = read(`user: ada\npassword-file: password\nservices:\n${service}`);
    expect(settings.connect().auth).toEqual({ user: "ada", password: "S3cret" });
  });

  it("tells apart what changed in a service, and what changed outside", () => {
    const before = read(`ttl: 10\nservices:\n${service}`);
    const other = read(`services:\n${service}    value: x\nttl: 10\n`);
    const outside = read(`ttl: 20\nservices:\n${service}`);
    expect(other.fixed).toBe(before.fixed);
    expect(other.services[0]?.text).not.toBe(before.services[0]?.text);
    expect(outside.fixed).not.toBe(before.fixed);
    expect(outside.services[0]?.text).toBe(before.services[0]?.text);
  });
});

describe("mistakes in an agent's file", () => {
  it.each([
    ["", ["1:1: services: must hold a service for each name, at least one"]],
    ["services: 7", ["1:1: services: must hold a service for each name, at least one"]],
    ["services: {}", ["1:1: services: must hold a service for each name, at least one"]],
    [`endpoint: x\nservices:\n${service}`, ["1:1: endpoint: there is no such key; did you mean endpoints?"]],
    [`services:\n${service}    comand: x\n`, ["4:5: services.job.comand: there is no such key; did you mean command?"]],
    ["services:\n  job: 7\n", ["2:3: services.job: must be a map with a command"]],
    ["services:\n  job:\n    value: x\n", [expect.stringMatching(/^2:3: services\.job: needs a command, such as /)]],
    [
      "services:\n  job:\n    command: sleep 1\n",
      ["3:5: services.job.command: must be a list of texts: the program and its arguments"],
    ],
    [`ttl: soon\nservices:\n${service}`, ["1:1: ttl: must be a number"]],
    [`discover-members: 7\nservices:\n${service}`, ["1:1: discover-members: must be true or false"]],
    [`namespace: [a]\nservices:\n${service}`, ["1:1: namespace: must be a text"]],
    [
      `services:\n${service}    on-exit: maybe\n`,
      ['4:5: services.job.on-exit: "maybe" is none of exit, resign, restart'],
    ],
    [`services:\n${service}    on-exit: exit\n`, [expect.stringMatching(/^4:5: services\.job\.on-exit: "exit" would/)]],
    ["services:\n  job:\n    command: [/no/such]\n", ["3:5: services.job.command: /no/such: there is no such file"]],
    [`services:\n${service}${service}`, ["4:3: Map keys must be unique"]],
    ["services: [", [expect.stringMatching(/^1:\d+: /)]],
    [
      `services:\n${service}    stop-timeout: 60\n`,
      [
        expect.stringMatching(
          /^4:5: services\.job\.stop-timeout: the program could not be stopped before a lost lease ends/,
        ),
      ],
    ],
  ])("%j: %j", (text, expected) => {
    expect(mistakes(text)).toEqual(expected);
  });

  it("are told together, in the order of the file, as far as there are not too many", () => {
    expect(mistakes(`ttl: x\nservices:\n  b: 1\n  a: 1\n`).map((line) => line.split(":")[0])).toEqual(["1", "3", "4"]);
    const many = Array.from({ length: 14 }, (_, index) => `  s${index}: 1\n`).join("");
    const told = mistakes(`services:\n${many}`);
    expect(told).toHaveLength(11);
    expect(told.at(-1)).toContain("and 4 more");
  });

  it("say which file cannot be read", () => {
    expect(() => readConfig(join(dir, "none.yaml"), {}, {})).toThrow(
      /^--config: cannot read .*: there is no such file$/,
    );
    expect(() => readConfig(dir, {}, {})).toThrow(/it is a directory$/);
  });
});
