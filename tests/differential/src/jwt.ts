import { createHmac, randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Json, JsonMessage } from "./operation.ts";

/** What both servers sign their tokens with. */
export const jwtSecret = "a secret that both servers know";

/** Writes the secret to a file for etcd and returns its name. */
export async function writeJwtSecret(): Promise<string> {
  const file = join(tmpdir(), `tenure-differential-${randomBytes(6).toString("hex")}.key`);
  await writeFile(file, jwtSecret);
  return file;
}

/**
 * Signs a token as one of the servers would. Its `revision` counts from the first one of the server's auth store, and
 * `exp`, `iat` and `nbf` from now.
 */
export function signToken(claims: JsonMessage, head: Json, firstAuthRevision: bigint): string {
  const now = Math.floor(Date.now() / 1000);
  const absolute = Object.entries(claims).map(([name, value]) => {
    if (typeof value !== "number") return [name, value];
    return [name, name === "revision" ? value + Number(firstAuthRevision) : value + now];
  });
  const segments = [head, Object.fromEntries(absolute) as Json];
  const text = segments.map((each) => Buffer.from(JSON.stringify(each)).toString("base64url")).join(".");
  return `${text}.${createHmac("sha256", jwtSecret).update(text).digest("base64url")}`;
}
