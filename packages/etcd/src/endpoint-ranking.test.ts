import { describe, expect, it } from "vitest";
import { Connection } from "./connection.ts";
import { EndpointRanking } from "./endpoint-ranking.ts";
import { parseEndpoint } from "./endpoint.ts";
import { systemClock } from "./runtime/clock.ts";

const [a, b, c] = ["a", "b", "c"].map(
  (host) => new Connection(parseEndpoint(host), { clock: systemClock, connectTimeoutMs: 100 }),
) as [Connection, Connection, Connection];

function order(ranking: EndpointRanking): string {
  return ranking
    .ordered()
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

  it("that failed more often come after those that failed less", () => {
    const ranking = new EndpointRanking([a, b, c]);
    for (const connection of [a, a, a, b, c, c]) ranking.failed(connection);
    expect(order(ranking)).toBe("bca");
  });

  it("are as good as ever after a success", () => {
    const ranking = new EndpointRanking([a, b, c]);
    for (const connection of [a, a, a]) ranking.failed(connection);
    ranking.succeeded(a);
    expect(order(ranking)).toBe("abc");
  });

  it("refuse every use once closed", () => {
    const connection = new Connection(parseEndpoint("a"), { clock: systemClock, connectTimeoutMs: 100 });
    new EndpointRanking([connection]).close();
    expect(() => connection.session()).toThrow("the client is closed");
  });
});
