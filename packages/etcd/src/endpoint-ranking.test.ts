import { describe, expect, it } from "vitest";
import { Connection } from "./connection.ts";
import { type CallPlace, EndpointRanking } from "./endpoint-ranking.ts";
import { parseEndpoint } from "./endpoint.ts";
import { systemClock } from "./runtime/clock.ts";

const [a, b, c] = ["a", "b", "c"].map(
  (host) => new Connection(parseEndpoint(host), { clock: systemClock, connectTimeoutMs: 100 }),
) as [Connection, Connection, Connection];

function order(ranking: EndpointRanking, place: CallPlace = "first"): string {
  return ranking
    .ordered(place)
    .map((connection) => connection.endpoint.host)
    .join("");
}

describe("endpoints", () => {
  it("are tried in the order of the start while none failed", () => {
    const ranking = new EndpointRanking([b, c, a]);
    expect(order(ranking)).toBe("bca");
    ranking.succeeded(a);
    expect(order(ranking)).toBe("bca");
  });

  it("come last after a failure", () => {
    const ranking = new EndpointRanking([a, b, c]);
    ranking.failed(a);
    expect(order(ranking)).toBe("bca");
    ranking.failed(b);
    expect(order(ranking)).toBe("cab");
  });

  it("come in the order of their last failures, the oldest first", () => {
    const ranking = new EndpointRanking([a, b, c]);
    for (const connection of [a, a, a, b, c, a, b]) ranking.failed(connection);
    expect(order(ranking)).toBe("cab");
  });

  it("beside the best give way to it as soon as they fail", () => {
    const ranking = new EndpointRanking([a, b, c]);
    expect(order(ranking, "beside")).toBe("bac");
    ranking.failed(b);
    expect(order(ranking, "beside")).toBe("cab");
    ranking.failed(c);
    expect(order(ranking, "beside")).toBe("abc");
  });

  it("that are slow come after the quick ones, but before those that failed", () => {
    const ranking = new EndpointRanking([a, b, c]);
    ranking.succeeded(a, 80);
    expect(order(ranking)).toBe("abc");
    ranking.succeeded(b, 2);
    ranking.failed(c);
    expect([order(ranking), order(ranking, "beside")]).toEqual(["bac", "bac"]);
    for (let calls = 0; calls < 20; calls++) ranking.succeeded(a, 6);
    expect([order(ranking), order(ranking, "beside")]).toEqual(["abc", "bac"]);
  });

  it("are not reordered by small differences", () => {
    const ranking = new EndpointRanking([a, b, c]);
    for (const [connection, latencyMs] of [
      [a, 6],
      [b, 1],
      [c, 3],
    ] as const) {
      ranking.succeeded(connection, latencyMs);
    }
    expect(order(ranking)).toBe("abc");
  });

  it("are as good as ever after a success", () => {
    const ranking = new EndpointRanking([a, b, c]);
    for (const connection of [a, a, a]) ranking.failed(connection);
    ranking.succeeded(a);
    expect(order(ranking)).toBe("abc");
  });

  it("beside the best lead to another member where one is as good", () => {
    const ranking = new EndpointRanking([a, b, c]);
    ranking.identified(a, 1n);
    ranking.identified(b, 1n);
    expect(order(ranking, "beside")).toBe("cab");
    ranking.failed(c);
    expect(order(ranking, "beside")).toBe("abc");
    ranking.succeeded(c);
    ranking.identified(b, 2n);
    expect(order(ranking, "beside")).toBe("bac");
  });

  it("that lead to a member which failed come after those of others", () => {
    const ranking = new EndpointRanking([a]);
    ranking.identified(a, 1n);
    ranking.add(b, 1n);
    ranking.add(c, 2n);
    ranking.failed(a);
    expect(order(ranking)).toBe("cab");
    ranking.succeeded(b);
    expect(order(ranking)).toBe("bca");
  });

  it("are exhausted when each has failed since it was last of use", () => {
    const ranking = new EndpointRanking([]);
    expect(ranking.exhausted).toBe(false);
    for (const connection of [a, b]) ranking.add(connection);
    ranking.failed(a);
    expect(ranking.exhausted).toBe(false);
    ranking.failed(b);
    expect(ranking.exhausted).toBe(true);
    ranking.succeeded(a);
    expect(ranking.exhausted).toBe(false);
    ranking.remove(a);
    expect([ranking.exhausted, order(ranking)]).toEqual([true, "b"]);
    ranking.failed(a);
    expect(ranking.connections).toEqual([b]);
  });

  it("refuse every use once closed", () => {
    const connection = new Connection(parseEndpoint("a"), { clock: systemClock, connectTimeoutMs: 100 });
    new EndpointRanking([connection]).close();
    expect(() => connection.session()).toThrow("the client is closed");
  });
});
