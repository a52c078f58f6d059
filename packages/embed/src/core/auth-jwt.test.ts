import { createHmac, generateKeyPairSync, type KeyObject } from "node:crypto";

import { ManualClock, seededRandom } from "@tenure/etcd/runtime";
import { describe, expect, it } from "vitest";

import type { JwtMethod } from "./auth-jwt-key.ts";
import { type JwtOptions, JwtTokens } from "./auth-jwt.ts";
import { AuthStore } from "./auth-store.ts";

const pem = (key: KeyObject): string =>
  key.export({ format: "pem", type: key.type === "private" ? "pkcs8" : "spki" }).toString();
const pairOf = ({ privateKey, publicKey }: { privateKey: KeyObject; publicKey: KeyObject }) => ({
  privateKey: pem(privateKey),
  publicKey: pem(publicKey),
});
const rsa = pairOf(generateKeyPairSync("rsa", { modulusLength: 2048 }));
const ec = (namedCurve: string) => pairOf(generateKeyPairSync("ec", { namedCurve }));
const p256 = ec("P-256");
const ed25519 = pairOf(generateKeyPairSync("ed25519"));
const secret = { privateKey: "a secret of some length\n" };

const keys: Readonly<Record<JwtMethod, Pick<JwtOptions, "privateKey" | "publicKey">>> = {
  RS256: rsa,
  RS384: rsa,
  RS512: rsa,
  PS256: rsa,
  PS384: rsa,
  PS512: rsa,
  ES256: p256,
  ES384: ec("P-384"),
  ES512: ec("P-521"),
  EdDSA: ed25519,
  HS256: secret,
  HS384: secret,
  HS512: secret,
};
const methods = Object.entries(keys).map(([signMethod, own]) => ({ signMethod: signMethod as JwtMethod, ...own }));
const subject = { user: "ann", revision: 7n, index: 1n };

function claimsOf(token: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as Record<string, unknown>;
}

/** A token with any head and claims, signed with the secret. */
function signed(head: unknown, claims: unknown): string {
  const text = [head, claims].map((each) => Buffer.from(JSON.stringify(each)).toString("base64url")).join(".");
  return `${text}.${createHmac("sha256", secret.privateKey).update(text).digest("base64url")}`;
}

describe.each(methods)("a token signed with $signMethod", (options) => {
  const clock = new ManualClock();
  const tokens = new JwtTokens(clock, options);

  it("says whose it is and at which revision, and is not good with anything changed", () => {
    const token = tokens.assign(subject);
    expect(tokens.infoOf(token)).toEqual({ user: "ann", revision: 7n });
    const [head = "", body = "", signature = ""] = token.split(".");
    const other = Buffer.from(JSON.stringify({ ...claimsOf(token), username: "root" })).toString("base64url");
    const first = signature.startsWith("A") ? "B" : "A";
    const wrong = [
      `${head}.${other}.${signature}`,
      `${head}.${body}.${first}${signature.slice(1)}`,
      `${head}.${body}.`,
      `${head}.${body}.${signature}AAAA`,
      `${head}.${body}.${signature}.`,
      `${head}.${body}`,
    ];
    for (const each of wrong) expect(tokens.infoOf(each)).toBeUndefined();
  });

  it.skipIf(options.signMethod.startsWith("HS"))("is read with the public key alone, which signs none", () => {
    const reader = new JwtTokens(clock, { ...options, privateKey: undefined });
    expect(reader.infoOf(tokens.assign(subject))).toEqual({ user: "ann", revision: 7n });
    expect(() => reader.assign(subject)).toThrow("auth: token signing attempted with verify-only key");
  });
});

describe("a token", () => {
  it("ends with its TTL, whether or not it is used", () => {
    const clock = new ManualClock();
    const tokens = new JwtTokens(clock, { signMethod: "HS256", ...secret, ttlMs: 10_000 });
    const token = tokens.assign(subject);
    clock.advance(8_900);
    expect(tokens.infoOf(token)).toBeDefined();
    clock.advance(1_100);
    expect(tokens.infoOf(token)).toBeUndefined();
  });

  it("ends when all are ended, and the next one is good", () => {
    const tokens = new JwtTokens(new ManualClock(), { signMethod: "HS256", ...secret });
    const token = tokens.assign(subject);
    tokens.expireAll();
    expect(tokens.infoOf(token)).toBeUndefined();
    expect(tokens.infoOf(tokens.assign(subject))).toBeDefined();
  });

  it("does not choose how it is checked", () => {
    const claims = { username: "root", revision: 1 };
    const tokens = new JwtTokens(new ManualClock(), { signMethod: "RS256", ...rsa });
    const none = [{ alg: "none" }, claims].map((each) => Buffer.from(JSON.stringify(each)).toString("base64url"));
    expect(tokens.infoOf(`${none.join(".")}.`)).toBeUndefined();
    // The public key as a secret, which everybody may know.
    const head = Buffer.from('{"alg":"HS256"}').toString("base64url");
    const text = `${head}.${none[1] ?? ""}`;
    const forged = `${text}.${createHmac("sha256", rsa.publicKey).update(text).digest("base64url")}`;
    expect(tokens.infoOf(forged)).toBeUndefined();
  });

  it("of somebody else with the key is good if its claims are", () => {
    const clock = new ManualClock();
    const now = Math.floor(clock.date().getTime() / 1000);
    const tokens = new JwtTokens(clock, { signMethod: "HS256", ...secret });
    const infoOf = (claims: unknown, alg: unknown = "HS256") => tokens.infoOf(signed({ alg }, claims));
    const good = { username: "ann", revision: 7 };
    for (const more of [{}, { exp: now + 1 }, { exp: 0 }, { iat: now, nbf: now }, { revision: 7.9 }]) {
      expect(infoOf({ ...good, ...more })).toEqual({ user: "ann", revision: 7n });
    }
    const bad = [
      { exp: now },
      { exp: null },
      { exp: String(now + 1) },
      { iat: now + 1 },
      { nbf: now + 1 },
      { username: 1 },
      { username: undefined },
      { revision: "7" },
      { revision: undefined },
    ];
    for (const more of bad) expect(infoOf({ ...good, ...more })).toBeUndefined();
    for (const claims of [null, "ann", [], 7]) expect(infoOf(claims)).toBeUndefined();
    for (const alg of [null, "HS512", "hs256", {}]) expect(infoOf(good, alg)).toBeUndefined();
    for (const text of ["", "..", "a.b.c", "of nobody", "é.é.é"]) expect(tokens.infoOf(text)).toBeUndefined();
  });
});

describe("the auth store with signed tokens", () => {
  it("refuses one from before a change, and for reading one from after it", () => {
    const store = new AuthStore({
      clock: new ManualClock(),
      random: seededRandom(1),
      jwt: { signMethod: "HS256", ...secret },
    });
    store.userAdd("root", "hash", false);
    store.userGrantRole("root", "root");
    store.enable();
    const key = { kind: "key", key: "a" } as const;
    const before = store.infoOf({ token: store.authenticate("root", 1n) });
    store.checkRange(before, key);
    store.roleAdd("r");
    expect(() => store.checkRange(before, key)).toThrow("etcdserver: revision of auth store is old");
    store.checkAdmin(before);
    const token = signed({ alg: "HS256" }, { username: "root", revision: 99 });
    const after = store.infoOf({ token });
    store.checkWrite(after, key);
    expect(() => store.checkCurrent(after)).toThrow("etcdserver: revision of auth store is old");
  });
});

describe("keys that cannot be used", () => {
  const open = (options: object) => (): unknown => new JwtTokens(new ManualClock(), options as JwtOptions);

  it("are told in one line", () => {
    const other = pairOf(generateKeyPairSync("rsa", { modulusLength: 2048 }));
    const cases: readonly (readonly [options: object, message: RegExp])[] = [
      [{ signMethod: "none" }, /^jwt: the sign method "none" is none of RS256, .*, EdDSA$/],
      [{ signMethod: "HS256" }, /^jwt: HS256 needs a private key$/],
      [{ signMethod: "HS256", privateKey: "" }, /^jwt: HS256 needs a private key$/],
      [{ signMethod: "RS256" }, /^jwt: RS256 needs a private key, or a public one to check tokens of others$/],
      [{ signMethod: "RS256", privateKey: "no PEM" }, /^jwt: the private key cannot be used: .+$/],
      [{ signMethod: "RS256", publicKey: "no PEM" }, /^jwt: the public key cannot be used: .+$/],
      [{ signMethod: "RS256", ...p256 }, /^jwt: the private key is of type ec, and RS256 needs rsa$/],
      [
        { signMethod: "ES384", ...p256 },
        /^jwt: the private key is on the curve prime256v1, and ES384 needs secp384r1$/,
      ],
      [
        { signMethod: "RS256", privateKey: rsa.privateKey, publicKey: other.publicKey },
        /^jwt: the public key and the private key do not belong together$/,
      ],
    ];
    for (const [options, message] of cases) expect(open(options)).toThrow(message);
    expect(open({ signMethod: "HS256", ...secret, ttlMs: 999 })).toThrow("the ttl of tokens must be a second or more");
  });
});
