import { ManualClock } from "@tenure/etcd/runtime";
import { beforeEach, describe, expect, it } from "vitest";
import { Gate } from "./gate.ts";

const TOKEN = "abcdefghijklmnop";

describe("the gate before actions", () => {
  let clock: ManualClock;
  let gate: Gate;
  let broken: Error | undefined;
  const notes: string[] = [];
  const log = { note: (text: string): void => void notes.push(text) };

  beforeEach(() => {
    clock = new ManualClock();
    broken = undefined;
    notes.length = 0;
    const matches = (text: string): Promise<boolean> =>
      broken === undefined ? Promise.resolve(text === TOKEN) : Promise.reject(broken);
    gate = new Gate({ tokens: { matches }, log, clock });
  });

  async function tried(authorization: string | undefined, remoteAddress = "10.0.0.1", more: string[] = []) {
    const headers = authorization === undefined ? {} : { authorization };
    const rawHeaders = [...Object.entries(headers).flat(), ...more];
    const refusal = await gate.refusalOf({ headers, rawHeaders, socket: { remoteAddress } });
    return refusal && [refusal.status, refusal.headers["WWW-Authenticate"]?.replace('Bearer realm="tenure"', "Bearer")];
  }

  it.each([
    [`Bearer ${TOKEN}`, undefined],
    [`bearer  ${TOKEN}`, undefined],
    [undefined, [401, "Bearer"]],
    ["", [401, "Bearer"]],
    [TOKEN, [401, "Bearer"]],
    [`Basic ${TOKEN}`, [401, "Bearer"]],
    [`Bearer ${TOKEN} x`, [401, "Bearer"]],
    [`Bearer ${TOKEN}x`, [401, 'Bearer, error="invalid_token"']],
    [`Bearer ${TOKEN.slice(1)}`, [401, 'Bearer, error="invalid_token"']],
  ])("answers %j with %j, as RFC 6750 has it", async (authorization, answer) => {
    expect(await tried(authorization)).toEqual(answer);
  });

  it("wants the token once", async () => {
    expect(await tried(`Bearer ${TOKEN}`, "::1", ["Authorization", "Bearer x"])).toEqual([
      400,
      'Bearer, error="invalid_request"',
    ]);
  });

  it("is shut where there is no token", async () => {
    gate = new Gate({ tokens: undefined, log });
    expect(await tried(`Bearer ${TOKEN}`)).toEqual([403, undefined]);
  });

  it("lets an address guess ten times, then once a second, all at once or not, and others as before", async () => {
    const all = await Promise.all(Array.from({ length: 12 }, () => tried("Bearer wrong")));
    expect(all.map((answer) => answer?.[0])).toEqual([...Array<number>(10).fill(401), 429, 429]);
    // Not even the right one is looked at.
    expect((await tried(`Bearer ${TOKEN}`))?.[0]).toBe(429);
    expect(await tried(`Bearer ${TOKEN}`, "10.0.0.2")).toBeUndefined();
    expect(notes).toEqual(["HTTP: too many wrong tokens from 10.0.0.1, which has to wait"]);
    clock.advance(1000);
    expect(await tried(`Bearer ${TOKEN}`)).toBeUndefined();
    expect((await tried("Bearer wrong"))?.[0]).toBe(401);
    expect((await tried("Bearer wrong"))?.[0]).toBe(429);
  });

  it("does not count right ones, one by one or all at once", async () => {
    for (let count = 0; count < 30; count++) expect(await tried(`Bearer ${TOKEN}`)).toBeUndefined();
    const all = await Promise.all(Array.from({ length: 30 }, () => tried(`Bearer ${TOKEN}`)));
    expect(all.every((answer) => answer === undefined)).toBe(true);
  });

  it("does not count those that could not be looked at", async () => {
    broken = new Error("/secret is no file");
    for (let count = 0; count < 30; count++) expect((await tried("Bearer wrong"))?.[0]).toBe(503);
    broken = undefined;
    expect(await tried(`Bearer ${TOKEN}`)).toBeUndefined();
  });

  it("forgets addresses rather than keep them all", async () => {
    for (let count = 0; count < 11; count++) await tried("Bearer wrong", "first");
    for (let count = 0; count < 1024; count++) await tried("Bearer wrong", `other ${count}`);
    expect((await tried("Bearer wrong", "first"))?.[0]).toBe(401);
  });

  it("says what is wrong with the file in the log alone, and not again and again", async () => {
    broken = new Error("--http-token-file: /secret is open to others");
    expect((await tried(`Bearer ${TOKEN}`))?.[0]).toBe(503);
    await tried(`Bearer ${TOKEN}`);
    expect(notes).toEqual(["HTTP: actions are off: --http-token-file: /secret is open to others"]);
    // Whoever has mended that wants to know what is wrong still.
    broken = new Error("--http-token-file: /secret is no file");
    await tried(`Bearer ${TOKEN}`);
    expect(notes[1]).toBe("HTTP: actions are off: --http-token-file: /secret is no file");
  });
});
