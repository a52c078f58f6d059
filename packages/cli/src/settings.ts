import { readFileSync, statSync } from "node:fs";
import { assertSrvOptions, parseEndpoints, type SrvOptions } from "@tenure/etcd";
import type { AuthOptions, ConnectOptions, TlsOptions } from "tenure";
import { CommandError, ExitCode } from "./exit-codes.ts";

/** The global flags as commander leaves them: text, not yet looked at. */
export interface GlobalFlags {
  readonly endpoints?: string;
  readonly discoverySrv?: string;
  readonly discoverySrvName?: string;
  readonly discoverMembers?: boolean;
  readonly namespace?: string;
  readonly output?: string;
  readonly cacert?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly serverName?: string;
  readonly user?: string;
  readonly passwordFile?: string;
  readonly ttl?: string;
  readonly timeout?: string;
}

/** How results are printed. */
export type Output = "table" | "json" | "jsonl";

/** The global flags and their environment twins, checked. */
export interface Settings {
  /** How to reach the store; read when a command needs one. Throws CommandError. */
  readonly connect: () => ConnectOptions;
  /** Whether the user named a store on this command line, not only in the environment. */
  readonly storeNamed: boolean;
  readonly output: Output;
  readonly ttlMs: number;
  /** Undefined when the user set none. */
  readonly timeoutMs: number | undefined;
}

/** A global flag that takes a text. */
type TextFlag = Exclude<keyof GlobalFlags, "discoverMembers">;

type Environment = Readonly<Record<string, string | undefined>>;

/** A setting's text and where it came from, for messages. */
interface Given {
  readonly text: string;
  readonly from: string;
}

const DEFAULT_ENDPOINTS = "http://127.0.0.1:2379";
const DEFAULT_TTL_SECONDS = 10;
/** What etcd takes at most. */
const MAX_TTL_SECONDS = 9_000_000_000;
const MAX_TIMEOUT_SECONDS = 1_000_000_000;

/**
 * Reads the settings: a flag goes before its `TENURE_` variable, that before its `ETCDCTL_` one. An empty variable
 * counts as not set.
 *
 * @throws CommandError 64 for a value that cannot be
 */
export function readSettings(flags: GlobalFlags, env: Environment): Settings {
  const given = (flag: TextFlag): Given | undefined => find(flag, flags[flag], env);
  const output = given("output");
  const timeout = given("timeout");
  const ttl = given("ttl");
  return {
    connect: () => readConnect(flags, env),
    storeNamed: flags.endpoints !== undefined || flags.discoverySrv !== undefined,
    output: output === undefined ? "table" : parsedOutput(output),
    ttlMs: (ttl === undefined ? DEFAULT_TTL_SECONDS : wholeSeconds(ttl, MAX_TTL_SECONDS)) * 1000,
    timeoutMs: timeout === undefined ? undefined : positiveSeconds(timeout) * 1000,
  };
}

/** Throws CommandError 64 for a value that cannot be, 78 for a file that cannot be used. */
function readConnect(flags: GlobalFlags, env: Environment): ConnectOptions {
  const given = (flag: TextFlag): Given | undefined => find(flag, flags[flag], env);
  const { endpoints, srv } = nearer(given("endpoints"), given("discoverySrv"));
  return {
    ...(srv === undefined
      ? { endpoints: parsedEndpoints(endpoints) }
      : { discoverySrv: parsedSrv(srv, given("discoverySrvName")) }),
    ...(discoversMembers(flags, env) && { discoverMembers: true }),
    namespace: given("namespace")?.text,
    tls: readTls(
      given("cacert"),
      given("cert"),
      given("key"),
      given("serverName"),
      srv === undefined ? endpoints.text : undefined,
    ),
    auth: readAuth(given("user"), given("passwordFile"), flags.user, env),
  };
}

/** Endpoints or the domain that names them, whichever was said nearer by: on the command line, say. */
function nearer(
  endpoints: Given | undefined,
  srv: Given | undefined,
): { readonly endpoints: Given; readonly srv: Given | undefined } {
  const standard = { text: DEFAULT_ENDPOINTS, from: "the default" };
  if (endpoints === undefined || srv === undefined) return { endpoints: endpoints ?? standard, srv };
  const [how, other] = [distance(endpoints), distance(srv)];
  if (how === other) throw usage(`${srv.from} and ${endpoints.from} are both given: one of them will do`);
  return how < other ? { endpoints, srv: undefined } : { endpoints: standard, srv };
}

function distance({ from }: Given): number {
  return from.startsWith("--") ? 0 : from.startsWith("TENURE_") ? 1 : 2;
}

function parsedSrv(domain: Given, name: Given | undefined): SrvOptions {
  const srv = { domain: domain.text, serviceName: name?.text };
  try {
    assertSrvOptions({ domain: srv.domain });
  } catch (error) {
    throw usage(`${domain.from}: ${messageOf(error)}`);
  }
  try {
    assertSrvOptions(srv);
  } catch (error) {
    throw usage(`${name?.from ?? ""}: ${messageOf(error)}`);
  }
  return srv;
}

function discoversMembers({ discoverMembers }: GlobalFlags, env: Environment): boolean {
  const given = find("discoverMembers", discoverMembers === true ? "true" : undefined, env);
  if (given === undefined || ["false", "0"].includes(given.text)) return false;
  if (["true", "1"].includes(given.text)) return true;
  throw usage(`${given.from}: ${JSON.stringify(given.text)} is neither true nor false`);
}

/** The variables that stand for a global flag, the first going before the second. */
export function environmentTwins(flag: string): string[] {
  const name = flag.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
  return [`TENURE_${name}`, `ETCDCTL_${name}`];
}

function find(flag: string, text: string | undefined, env: Environment): Given | undefined {
  if (text !== undefined) return { text, from: `--${flag.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}` };
  for (const variable of environmentTwins(flag)) {
    // In a program that `tenure run` started it is the candidate's key, not a file.
    if (variable === "TENURE_KEY" && env["TENURE_TREE"] !== undefined) continue;
    const value = env[variable];
    if (value !== undefined && value !== "") return { text: value, from: variable };
  }
  return undefined;
}

function parsedEndpoints({ text, from }: Given): string[] {
  try {
    return parseEndpoints(text.split(",")).map((endpoint) => endpoint.url);
  } catch (error) {
    throw usage(`${from}: ${messageOf(error)}`);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function parsedOutput({ text, from }: Given): Output {
  if (text === "table" || text === "json" || text === "jsonl") return text;
  throw usage(`${from}: unknown output "${text}": use table, json or jsonl`);
}

function wholeSeconds({ text, from }: Given, max: number): number {
  const seconds = Number(text);
  if (/^\d+$/.test(text) && seconds >= 1 && seconds <= max) return seconds;
  throw usage(`${from}: ${JSON.stringify(text)} is not a whole number of seconds from 1 to ${max}`);
}

function positiveSeconds({ text, from }: Given): number {
  const seconds = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && seconds > 0 && seconds <= MAX_TIMEOUT_SECONDS) return seconds;
  throw usage(`${from}: ${JSON.stringify(text)} is not a number of seconds above 0`);
}

function readTls(
  cacert: Given | undefined,
  cert: Given | undefined,
  key: Given | undefined,
  serverName: Given | undefined,
  endpoints: string | undefined,
): TlsOptions | undefined {
  const first = cacert ?? cert ?? key ?? serverName;
  if (first === undefined) return undefined;
  if (endpoints?.includes("https://") === false) {
    throw new CommandError(
      ExitCode.configuration,
      `${first.from} needs https:// endpoints, but these are ${endpoints}`,
    );
  }
  if ((cert === undefined) !== (key === undefined)) {
    throw usage(cert === undefined ? "--key needs --cert as well" : "--cert needs --key as well");
  }
  const tls = {
    ca: cacert && readPem(cacert, "CERTIFICATE"),
    cert: cert && readPem(cert, "CERTIFICATE"),
    key: key && readPem(key, "PRIVATE KEY"),
  };
  try {
    // Loaded by those who have a use for it.
    process.getBuiltinModule("node:tls").createSecureContext(tls);
  } catch (error) {
    const which = [cacert, cert, key].flatMap((each) => (each === undefined ? [] : [`${each.from} ${each.text}`]));
    const why = error instanceof Error ? error.message.replace(/^error:[0-9A-F]*:/, "") : String(error);
    throw new CommandError(ExitCode.configuration, `${which.join(", ")}: these cannot be used together: ${why}`);
  }
  return {
    ...(canBeReadAgain(cacert) ? { caFile: cacert?.text } : { ca: tls.ca }),
    ...(canBeReadAgain(cert) ? { certFile: cert?.text } : { cert: tls.cert }),
    ...(canBeReadAgain(key) ? { keyFile: key?.text } : { key: tls.key }),
    serverName: serverName?.text,
  };
}

/** Whether a file can be named to who reads it for each connection, as it may be replaced: a pipe gives all at once. */
function canBeReadAgain(given: Given | undefined): boolean {
  return given !== undefined && statSync(given.text, { throwIfNoEntry: false })?.isFile() === true;
}

/** Reads a PEM file, which must hold at least one object of a kind. */
function readPem(given: Given, kind: "CERTIFICATE" | "PRIVATE KEY"): string {
  const text = readFile(given);
  if (text.includes("-----BEGIN ") && text.includes(`${kind}-----`)) return text;
  throw new CommandError(ExitCode.configuration, `${given.from}: ${given.text} holds no ${kind} in PEM`);
}

function readAuth(
  user: Given | undefined,
  passwordFile: Given | undefined,
  userFlag: string | undefined,
  env: Environment,
): AuthOptions | undefined {
  if (user === undefined) {
    if (passwordFile === undefined) return undefined;
    throw usage(`${passwordFile.from} needs --user as well`);
  }
  const colon = user.text.indexOf(":");
  if (colon >= 0) {
    // etcdctl takes user:password; what stands in argv can be read by everybody on the machine.
    if (userFlag !== undefined) throw usage("--user takes the name only: give the password as --password-file");
    return { user: user.text.slice(0, colon), password: user.text.slice(colon + 1) };
  }
  if (passwordFile !== undefined) {
    return { user: user.text, password: readFile(passwordFile).replace(/\r?\n$/, "") };
  }
  const password = find("password", undefined, env);
  if (password === undefined) {
    throw usage(`user "${user.text}" needs a password: --password-file FILE, or TENURE_PASSWORD in the environment`);
  }
  return { user: user.text, password: password.text };
}

function readFile({ text, from }: Given): string {
  try {
    return readFileSync(text, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown error";
    const why = { ENOENT: "there is no such file", EISDIR: "it is a directory", EACCES: "permission denied" }[code];
    throw new CommandError(ExitCode.configuration, `${from}: cannot read ${text}: ${why ?? code}`);
  }
}

function usage(message: string): CommandError {
  return new CommandError(ExitCode.usage, message);
}
