import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { isMap, isScalar, isSeq, LineCounter, type Pair, parseDocument, YAMLMap } from "yaml";
import { electionPrefix, TenureError } from "tenure";
import { CommandError, ExitCode } from "../exit-codes.ts";
import type { EndpointFlags } from "../http/flags.ts";
import { plan, type Plan, type RunFlags } from "../run/plan.ts";
import { type GlobalFlags, readSettings, type Settings } from "../settings.ts";
import { nearest } from "./nearest.ts";

/** What an agent does, as its file says. */
export interface AgentConfig {
  /** How to reach the store, and the TTL of the one lease: flags and environment where the file says nothing. */
  readonly settings: Settings;
  /** What of this needs a restart when it changes; compared as text. */
  readonly fixed: string;
  readonly http: Pick<EndpointFlags, "http" | "httpHost" | "httpTokenFile">;
  /** In the order of the file. */
  readonly services: readonly ServiceConfig[];
}

/** One service of a host. */
export interface ServiceConfig {
  /** The name of its election. */
  readonly name: string;
  readonly plan: Plan;
  /** What the file says of it, to be compared after a reload. */
  readonly text: string;
}

/** What a value must be. */
type Kind = "text" | "file" | "number" | "list" | "command" | "choice" | "services";

const NODE_KEYS: Readonly<Record<string, Kind>> = {
  endpoints: "list",
  "discovery-srv": "text",
  "discovery-srv-name": "text",
  "discover-members": "choice",
  namespace: "text",
  ttl: "number",
  cacert: "file",
  cert: "file",
  key: "file",
  "server-name": "text",
  user: "text",
  "password-file": "file",
  http: "text",
  "http-host": "list",
  "http-token-file": "file",
  services: "services",
};

/** The flags of `tenure run` that mean something here. */
const SERVICE_KEYS: Readonly<Record<string, Kind>> = {
  command: "command",
  value: "text",
  "stop-signal": "text",
  "stop-timeout": "number",
  "on-exit": "text",
  "max-restarts": "number",
  "pre-promote": "text",
  "on-promote": "text",
  "on-demote": "text",
  "on-leader-change": "text",
  "hook-timeout": "number",
  "standby-cmd": "text",
  "health-cmd": "text",
  "health-http": "text",
  "health-tcp": "text",
  "health-interval": "number",
  "health-timeout": "number",
  "health-rise": "number",
  "health-fall": "number",
  contain: "text",
};

/** As `tenure run` has them; a service whose program ends stands again. */
const DEFAULTS: RunFlags = {
  stopSignal: "SIGTERM",
  onExit: "resign",
  maxRestarts: "5",
  hookTimeout: "10",
  healthInterval: "2",
  healthTimeout: "1",
  healthRise: "2",
  healthFall: "3",
  contain: "group",
  guard: true,
};
const EXPECTED: Readonly<Record<Exclude<Kind, "services">, string>> = {
  text: "a text",
  file: "the path of a file",
  number: "a number",
  list: "a text, or a list of texts",
  choice: "true or false",
  command: "a list of texts: the program and its arguments",
};
/** Who made so many mistakes has misunderstood something: the rest would not help. */
const MAX_PROBLEMS = 10;

/** A mistake in the file, and where. */
interface Problem {
  readonly offset: number;
  readonly text: string;
}

/**
 * Reads and checks an agent's file.
 *
 * @param flags what the command line says; it goes before the file, the file before the environment
 * @throws CommandError 78 with a line for each mistake: file, line, column, what is wrong, and what was meant perhaps
 */
export function readConfig(file: string, flags: GlobalFlags, env: NodeJS.ProcessEnv): AgentConfig {
  return new Reader(file, textOf(file)).read(flags, env);
}

/** Reads one file; collects what is wrong with it. */
class Reader {
  readonly #file: string;
  readonly #text: string;
  readonly #lines = new LineCounter();
  readonly #problems: Problem[] = [];
  /** Where the elections' keys are, with the name of each service. */
  readonly #prefixes = new Map<string, string>();

  constructor(file: string, text: string) {
    this.#file = file;
    this.#text = text;
  }

  read(flags: GlobalFlags, env: NodeJS.ProcessEnv): AgentConfig {
    const document = parseDocument(this.#text, { lineCounter: this.#lines });
    for (const { pos, message } of document.errors) this.#wrong(pos[0], message.split(/ at line|\n/)[0] ?? message);
    this.#complain();
    const root = document.contents;
    // An empty file has no services either.
    const map = isMap(root) ? root : new YAMLMap();
    const given = this.#values(map, NODE_KEYS, "");
    const { "discover-members": discover, ...texts } = given;
    const discoverMembers = discover === "true";
    const settings = this.#settings({ ...camelCase(texts), discoverMembers, ...flags }, env);
    const services = this.#services(map, settings);
    this.#complain();
    const { http, "http-host": httpHost, "http-token-file": httpTokenFile } = given;
    return {
      settings,
      fixed: JSON.stringify({ ...given, services: undefined }),
      http: {
        ...(http !== undefined && { http }),
        ...(httpHost !== undefined && { httpHost }),
        ...(httpTokenFile !== undefined && { httpTokenFile }),
      },
      services,
    };
  }

  #services(root: YAMLMap, settings: Settings): ServiceConfig[] {
    const pair = pairs(root).find(({ key }) => keyText(key) === "services");
    if (pair === undefined || !isMap(pair.value) || pair.value.items.length === 0) {
      this.#wrong(pair === undefined ? 0 : offsetOf(pair), "services: must hold a service for each name, at least one");
      return [];
    }
    return pairs(pair.value).flatMap((service) => this.#service(service, settings) ?? []);
  }

  #service(pair: Pair, settings: Settings): ServiceConfig | undefined {
    const name = keyText(pair.key);
    if (!isMap(pair.value)) {
      this.#wrong(offsetOf(pair), `services.${name}: must be a map with a command`);
      return undefined;
    }
    const before = this.#problems.length;
    this.#checkName(pair, name, settings);
    const { command, ...given } = this.#values(pair.value, SERVICE_KEYS, `services.${name}.`);
    if (this.#problems.length > before) return undefined;
    if (command === undefined) {
      this.#wrong(offsetOf(pair), `services.${name}: needs a command, such as command: [./serve, --port, "8080"]`);
      return undefined;
    }
    const flags = { ...DEFAULTS, ...camelCase(given) };
    if (flags.onExit === "exit") {
      const text = `services.${name}.on-exit: "exit" would end one service for good: use resign or restart`;
      this.#wrong(this.#place(pair, "on-exit"), text);
      return undefined;
    }
    try {
      const planned = plan(name, JSON.parse(command) as string[], flags, { ...settings, timeoutMs: undefined });
      return { name, plan: { ...planned, stdin: "ignore" }, text: JSON.stringify({ command, ...given }) };
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      // It speaks of flags, which are keys here; times that cannot be kept are those of the service as a whole.
      const times = given["stop-timeout"] === undefined ? "command" : "stop-timeout";
      const [, key = times, why = error.message] = /^--([a-z-]+): (.*)$/s.exec(error.message) ?? [];
      this.#wrong(this.#place(pair, key), `services.${name}.${key}: ${why.replaceAll(/--(?=[a-z])/g, "")}`);
      return undefined;
    }
  }

  /** Two names may stand for the same election, as a slash at the begin does not count. */
  #checkName(pair: Pair, name: string, settings: Settings): void {
    try {
      const prefix = electionPrefix(name, settings.connect().namespace);
      const other = this.#prefixes.get(prefix);
      if (other === undefined) this.#prefixes.set(prefix, name);
      else this.#wrong(offsetOf(pair), `services.${name}: is the same election as ${other}`);
    } catch (error) {
      this.#wrong(offsetOf(pair), `services.${JSON.stringify(name)}: ${TenureError.from(error).message}`);
    }
  }

  /** The known keys of a map with their values as the text that a flag would have. */
  #values(map: YAMLMap, keys: Readonly<Record<string, Kind>>, path: string): Record<string, string> {
    const values: Record<string, string> = {};
    for (const pair of pairs(map)) {
      const key = keyText(pair.key);
      const kind = Object.hasOwn(keys, key) ? keys[key] : undefined;
      if (kind === undefined) {
        const meant = nearest(key, Object.keys(keys));
        const hint = meant === undefined ? `there are ${Object.keys(keys).join(", ")}` : `did you mean ${meant}?`;
        this.#wrong(offsetOf(pair), `${path}${key}: there is no such key; ${hint}`);
      } else if (kind !== "services") {
        const text = this.#textOf(pair.value, kind);
        if (text === undefined) this.#wrong(offsetOf(pair), `${path}${key}: must be ${EXPECTED[kind]}`);
        else values[key] = text;
      }
    }
    return values;
  }

  /** A value as the text that a flag would have: a list with commas, but a command as JSON. */
  #textOf(node: unknown, kind: Exclude<Kind, "services">): string | undefined {
    if (isSeq(node) && (kind === "list" || kind === "command")) {
      const items = node.items.map((item) => scalarText(item));
      if (items.length === 0 || items.includes(undefined)) return undefined;
      return kind === "list" ? items.join(",") : JSON.stringify(items);
    }
    const text = kind === "command" ? undefined : scalarText(node);
    if (text === undefined || (kind === "number" && !/^[\d.]+$/.test(text))) return undefined;
    if (kind === "choice" && text !== "true" && text !== "false") return undefined;
    return kind === "file" ? resolve(dirname(this.#file), text) : text;
  }

  #settings(flags: GlobalFlags, env: NodeJS.ProcessEnv): Settings {
    try {
      return readSettings(flags, env);
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      throw new CommandError(error.exitCode, `${this.#file}: ${error.message}`);
    }
  }

  #place({ key, value }: Pair, name: string): number {
    const pair = isMap(value) ? pairs(value).find((each) => keyText(each.key) === name) : undefined;
    return offsetOf(pair ?? { key });
  }

  #wrong(offset: number, text: string): void {
    this.#problems.push({ offset, text });
  }

  /** Throws what was found so far. */
  #complain(): void {
    const [first, ...others] = this.#problems
      .toSorted((a, b) => a.offset - b.offset)
      .map(({ offset, text }) => {
        const { line, col } = this.#lines.linePos(offset);
        return `${this.#file}:${line}:${col}: ${text}`;
      });
    if (first === undefined) return;
    const more = others.length + 1 - MAX_PROBLEMS;
    if (more > 0) others.splice(MAX_PROBLEMS - 1, more, `${this.#file}: and ${more} more`);
    throw new CommandError(ExitCode.configuration, first, ...others);
  }
}

function camelCase(values: Readonly<Record<string, string>>): Record<string, string> {
  const name = (key: string): string => key.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [name(key), value]));
}

function pairs(map: YAMLMap): readonly Pair[] {
  return map.items;
}

function keyText(key: unknown): string {
  return scalarText(key) ?? "";
}

function scalarText(node: unknown): string | undefined {
  if (!isScalar(node)) return undefined;
  const { value } = node;
  if (typeof value === "string") return value;
  // As it is written: 8008 and 1.50 are texts as well.
  return typeof value === "number" || typeof value === "boolean" ? (node.source ?? String(value)) : undefined;
}

function offsetOf({ key }: Pick<Pair, "key">): number {
  return isScalar(key) ? (key.range?.[0] ?? 0) : 0;
}

function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
    const why = { ENOENT: "there is no such file", EISDIR: "it is a directory", EACCES: "permission denied" }[code];
    throw new CommandError(ExitCode.configuration, `--config: cannot read ${file}: ${why ?? code}`);
  }
}
