import { describe, expect, it } from "vitest";
import { AuthToken } from "./auth-token.ts";
import { ManualClock } from "./runtime/manual-clock.ts";
import { jsonWebToken } from "./testing/json-web-token.ts";

/** When a token is due, and when it has expired, of the seconds looked at. */
function lives(text: string): { due: number[]; expired: number[] } {
  const clock = new ManualClock();
  const token = new AuthToken(text, clock);
  const seconds = [0, 1, 1.9, 2, 3.9, 4, 3600];
  return {
    due: seconds.filter((second) => token.due(second * 1000)),
    expired: seconds.filter((second) => token.expired(second * 1000)),
  };
}

const nowSeconds = new ManualClock().date().getTime() / 1000;

describe("a token that tells when it expires", () => {
  it("is due in the middle of its life, and worth nothing at its end", () => {
    expect(lives(jsonWebToken({ exp: nowSeconds + 4 }))).toEqual({ due: [2, 3.9, 4, 3600], expired: [4, 3600] });
  });

  it("is kept to its end when no other is to be had", () => {
    const clock = new ManualClock();
    const token = new AuthToken(jsonWebToken({ exp: nowSeconds + 4 }), clock);
    token.keep();
    expect([token.due(3999), token.due(4000), token.expired(4000)]).toEqual([false, true, true]);
  });

  it.each<[string, number]>([
    ["long past by our clock, which is ahead", -3600],
    ["past at once by our clock, which is ahead", 0],
    ["too soon to be worth a request each time", 0.5],
  ])("is used until it is refused when that is %s", (_, seconds) => {
    expect(lives(jsonWebToken({ exp: nowSeconds + seconds }))).toEqual({ due: [], expired: [] });
  });
});

describe("a token that tells nothing of its life", () => {
  it.each<[string, string]>([
    ["a simple token", "jBvVxUdWqXzYhGkP.17"],
    ["none at all", ""],
    ["dots by chance", "a.b.c"],
    ["JSON that is no object", `x.${Buffer.from("null").toString("base64url")}.y`],
    ["no expiry", jsonWebToken({ username: "node" })],
    ["an expiry that is no number", jsonWebToken({ exp: "soon" })],
  ])("is used until it is refused: %s", (_, text) => {
    expect(lives(text)).toEqual({ due: [], expired: [] });
  });
});
