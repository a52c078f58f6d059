import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { authTokenOf } from "./auth-token.ts";

let dir: string;
let file: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "tenure-auth-token-"));
  file = join(dir, "secret=1");
  await writeFile(file, "secret\n");
});
afterAll(() => rm(dir, { recursive: true }));

describe("--auth-token", () => {
  it("takes what etcd takes", async () => {
    expect(await authTokenOf("simple")).toBeUndefined();
    const bytes = Buffer.from("secret\n");
    expect(await authTokenOf(`jwt,sign-method=HS256,priv-key=${file}`)).toEqual({
      signMethod: "HS256",
      privateKey: bytes,
      publicKey: undefined,
      ttlMs: undefined,
    });
    expect(await authTokenOf(`jwt,pub-key=${file},ttl=1h30m0.5s,sign-method=ES256`)).toMatchObject({
      signMethod: "ES256",
      publicKey: bytes,
      ttlMs: 5_400_500,
    });
  });

  it.each([
    ["", /^--auth-token: "" is neither simple nor jwt/],
    ["simple,ttl=5m", /"simple,ttl=5m" is neither simple nor jwt/],
    ["jwt", /jwt needs sign-method=/],
    ["jwt,sign-method", /"sign-method" is none of sign-method=.*, priv-key=.*, pub-key=.*, ttl=/],
    ["jwt,signmethod=RS256", /"signmethod=RS256" is none of/],
    ["jwt,sign-method=RS256,sign-method=RS256", /sign-method is given twice/],
    ["jwt,sign-method=RS256,priv-key=/nowhere", /priv-key: \/nowhere cannot be read: ENOENT/],
    ...["", "5", "5 m", "-5m", "999ms", "x5m"].map((ttl) => [
      `jwt,sign-method=RS256,ttl=${ttl}`,
      /is no duration of a second or more/,
    ]),
  ] as [string, RegExp][])("refuses %s", async (text, says) => {
    await expect(authTokenOf(text)).rejects.toThrow(says);
  });
});
