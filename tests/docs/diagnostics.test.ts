import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { startEmbed } from "@tenure/embed";
import { connect } from "tenure";
import { describe, expect, it } from "vitest";
import { root } from "../support/process.ts";
import { startProxy } from "../support/proxy.ts";
import { settled, until } from "../support/until.ts";

const SOURCES = [
  "packages/etcd/src/events.ts",
  "packages/tenure/src/events.ts",
  "packages/tenure/src/guard/guard-lost.ts",
  "packages/tenure/src/lead-overdue.ts",
];
const TTL_MS = 2000;

/** The channels of docs/diagnostics.md and the fields of each. */
async function documented(): Promise<Map<string, string[]>> {
  const text = await readFile(join(root, "docs/diagnostics.md"), "utf8");
  const rows = [...text.matchAll(/^\| `(tenure:[a-z:-]+)` \|[^|]*\| (.*) \|$/gm)];
  return new Map(
    rows.map(([, name = "", cell = ""]) => [name, [...cell.matchAll(/`([a-z]+[A-Z]?\w*)`/g)].map(([, f = ""]) => f)]),
  );
}

/** Everything published while `action` runs, by channel. */
async function publishedDuring(names: Iterable<string>, action: () => Promise<void>): Promise<Map<string, object[]>> {
  const events = new Map<string, object[]>([...names].map((name) => [name, []]));
  const onMessage = (message: unknown, name: string | symbol): void =>
    void events.get(String(name))?.push(message as object);
  for (const name of events.keys()) subscribe(name, onMessage);
  try {
    await action();
  } finally {
    for (const name of events.keys()) unsubscribe(name, onMessage);
  }
  return events;
}

/** An election that is won, handed over, and lost for want of a connection. */
async function troubles(secret: string): Promise<void> {
  await using store = await startEmbed();
  await using proxy = await startProxy(store.endpoint);
  await using client = connect({ endpoints: [proxy.endpoint] });
  await using other = connect({ endpoints: [store.endpoint] });
  const first = await other.election("e", { ttlMs: TTL_MS }).campaign(secret);
  const next = client.election("e", { ttlMs: TTL_MS }).campaign(secret);
  await until(async () => (await other.election("e").candidates()).length === 2, { what: "two candidates" });
  await first.resign();
  const term = await settled(next, { what: "the next leader" });
  const ended = new Promise((resolve) => term.signal.addEventListener("abort", resolve, { once: true }));
  proxy.blackhole();
  await settled(ended, { what: "the end of the term" });
}

describe("docs/diagnostics.md", () => {
  it("names every channel there is, and no other", async () => {
    const sources = await Promise.all(SOURCES.map((file) => readFile(join(root, file), "utf8")));
    const names = [...sources.join("\n").matchAll(/channel\("(tenure:[^"]+)"\)/g)].map(([, name]) => name);
    expect(new Set((await documented()).keys())).toEqual(new Set(names));
  });

  it("names the fields of what is published, in which there are no values", async () => {
    const channels = await documented();
    const secret = "value-of-a-candidate";
    const published = await publishedDuring(channels.keys(), () => troubles(secret));
    const counts = Object.fromEntries([...published].map(([name, events]) => [name.replace("tenure:", ""), events]));
    expect(counts).toMatchObject({
      "session:granted": [{ ttlMs: TTL_MS }, { ttlMs: TTL_MS }],
      "candidate:queued": [{ prefix: "e/" }, { prefix: "e/" }],
      "term:elected": [{ prefix: "e/" }, { prefix: "e/" }],
      "term:ended": [
        { prefix: "e/", code: "not-leader" },
        { prefix: "e/", code: "leadership-lost", sessionEnd: "expired" },
      ],
    });
    const endings = published.get("tenure:session:ended") as { readonly why: string }[];
    expect(endings.map(({ why }) => why)).toEqual(["closed", "expired"]);
    const seen = ["keep-alive:sent", "keep-alive:silent", "watch:created", "watch:moved", "leader:changed"];
    for (const name of [...seen, "connection:opened", "rpc"])
      expect([name, counts[name]?.length]).not.toEqual([name, 0]);

    for (const [name, events] of published) {
      const fields = channels.get(name) ?? [];
      for (const event of events) {
        for (const field of Object.keys(event)) expect([name, ...fields]).toContain(field);
      }
    }
    const text = JSON.stringify([...published], (_, value: unknown) =>
      typeof value === "bigint" ? `${value}` : value,
    );
    expect(text).not.toContain(secret);
  });
});
