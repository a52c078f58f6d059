import { readFile } from "node:fs/promises";
import type { JwtMethod, JwtOptions } from "@tenure/embed";
import { CommandError, ExitCode } from "./exit-codes.ts";

const FLAG = "--auth-token";
const OPTIONS: readonly string[] = ["sign-method", "priv-key", "pub-key", "ttl"];
/** Milliseconds of each unit of a duration as Go writes it. */
const UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 0.001,
  µs: 0.001,
  ms: 1,
  s: 1e3,
  m: 6e4,
  h: 36e5,
};

/**
 * What `--auth-token` says, in etcd's words: `simple`, or `jwt` with options as in
 * `jwt,sign-method=RS256,priv-key=FILE,pub-key=FILE,ttl=5m`. Undefined for simple tokens.
 *
 * @throws CommandError for what is neither, and for files that cannot be read
 */
export async function authTokenOf(text: string): Promise<JwtOptions | undefined> {
  const [kind = "", ...rest] = text.split(",");
  if (kind === "simple" && rest.length === 0) return undefined;
  if (kind !== "jwt") throw mistake(`"${text}" is neither simple nor jwt,sign-method=...`);
  const given = new Map<string, string>();
  for (const each of rest) {
    const [name = "", ...value] = each.split("=");
    if (!OPTIONS.includes(name) || value.length === 0) {
      throw mistake(`"${each}" is none of ${OPTIONS.map((option) => `${option}=...`).join(", ")}`);
    }
    if (given.has(name)) throw mistake(`${name} is given twice`);
    given.set(name, value.join("="));
  }
  const signMethod = given.get("sign-method");
  if (signMethod === undefined) throw mistake("jwt needs sign-method=..., such as RS256");
  return {
    // The server refuses one that it does not know.
    signMethod: signMethod as JwtMethod,
    privateKey: await fileOf("priv-key", given),
    publicKey: await fileOf("pub-key", given),
    ttlMs: ttlMsOf(given.get("ttl")),
  };
}

async function fileOf(name: string, given: ReadonlyMap<string, string>): Promise<Buffer | undefined> {
  const file = given.get(name);
  if (file === undefined) return undefined;
  try {
    return await readFile(file);
  } catch (error) {
    const reason = error instanceof Error && "code" in error ? String(error.code) : String(error);
    throw new CommandError(ExitCode.configuration, `${FLAG}: ${name}: ${file} cannot be read: ${reason}`);
  }
}

/** A duration as Go writes it, such as `90s` or `1h30m`. */
function ttlMsOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)];
  const ttlMs = parts.reduce((sum, [, count, unit = ""]) => sum + Number(count) * (UNIT_MS[unit] ?? 0), 0);
  if (parts.map(([part]) => part).join("") === text && ttlMs >= 1000) return ttlMs;
  throw mistake(`ttl=${text} is no duration of a second or more, such as 300s or 5m`);
}

function mistake(message: string): CommandError {
  return new CommandError(ExitCode.usage, `${FLAG}: ${message}`);
}
