import type { EtcdClientOptions } from "@tenure/etcd";
import { seededRandom } from "@tenure/etcd/runtime";
import { startEmbed } from "@tenure/embed";
import { connect, type Term } from "tenure";
import { describe, expect, it } from "vitest";
import { settled, until } from "../support/until.ts";
import { faultyTransport } from "./faulty-store.ts";

type Transport = NonNullable<EtcdClientOptions["transport"]>;

/** The way to one store, and from some moment on to another one. */
function switching(first: string, second: string): { transport: Transport; switchOver: () => void } {
  const ways = [first, second].map((endpoint) => faultyTransport(endpoint, () => undefined));
  let [way] = ways;
  return {
    transport: {
      unary: (...call) => (way as Transport).unary(...call),
      stream: (...call) => (way as Transport).stream(...call),
    },
    switchOver: () => ([, way] = ways),
  };
}

describe("a store that is replaced under a client (etcd#16028)", () => {
  it.each([
    ["another cluster", {}],
    // The ids come from chance, so that the same chance makes the same cluster.
    ["the same that was set back", { random: seededRandom(1), firstRevision: 1n }],
  ])("ends every term, stands again and shows who leads there: %s", async (_what, options) => {
    await using old = await startEmbed({ random: seededRandom(1) });
    await using fresh = await startEmbed(options);
    const { transport, switchOver } = switching(old.endpoint, fresh.endpoint);
    const client = connect({ transport });
    await using there = connect({ endpoints: [fresh.endpoint] });
    await there.election("a").campaign("already there");

    const terms: Term[] = [];
    const stop = new AbortController();
    const node = client.election("b").run(
      {
        lead: async (term) => {
          terms.push(term);
          await new Promise((resolve) => term.signal.addEventListener("abort", resolve));
        },
      },
      { signal: stop.signal },
    );
    const seen: (string | undefined)[] = [];
    const observer = (async () => {
      for await (const leader of client.election("a").observe({ signal: stop.signal })) seen.push(leader?.value);
    })();
    await until(() => terms.length === 1 && seen.length === 1, { what: "the first term" });
    const [first] = terms;

    switchOver();
    await client.election("b").leader();
    expect(first?.held).toBe(false);
    expect(first?.signal.reason).toMatchObject({ code: "leadership-lost", cause: { code: "cluster-changed" } });
    await until(() => terms.length === 2, { what: "the term in the new store" });
    expect(terms[1]?.held).toBe(true);
    await until(() => seen.at(-1) === "already there", { what: "the leader in the new store" });
    stop.abort();
    await settled(Promise.all([node, observer]), { what: "the end" });
    await client.close();
  });
});
