import type { ClientHttp2Stream } from "node:http2";
import type { Load, Measure } from "./protocol.ts";
import { paths, RawClient } from "./raw-client.ts";
import { putRequest, watchRequest } from "./requests.ts";
import { quantile, residentMbOf, Use } from "./use.ts";

/** How many streams share a connection. */
const streamsPerConnection = 100;
const key = 0;
const warmUpEvents = 20;
const prefixBytes = 5;
const value = Buffer.alloc(100, "x");

/**
 * Puts of one key that all watches see: the next one when the last watch has seen the one before, and then many at
 * once.
 */
export async function fanOut(client: RawClient, load: Extract<Load, { readonly do: "fan-out" }>): Promise<Measure[]> {
  const { watches, streams, events, pid, endpoint } = load;
  const audience = new Audience();
  const connections = Array.from({ length: Math.ceil(streams / streamsPerConnection) }, () => new RawClient(endpoint));
  const open = Array.from({ length: streams }, (_, index) => {
    const stream = (connections[index % connections.length] ?? client).stream(paths.watch);
    audience.listen(stream);
    return stream;
  });
  for (let index = 0; index < watches; index++) open[index % streams]?.write(watchRequest(key));
  await audience.heard(watches);
  const put = (): Promise<unknown> => client.ask(paths.put, putRequest(key, value));
  const times: number[] = [];
  for (let event = 0; event < events + warmUpEvents; event++) {
    const startedAt = performance.now();
    const all = audience.heard(watches);
    await Promise.all([put(), all]);
    if (event >= warmUpEvents) times.push(performance.now() - startedAt);
  }
  const use = new Use(pid);
  const all = audience.heard(events * watches);
  await Promise.all(Array.from({ length: events }, put));
  await all;
  const { elapsedMs, serverPercent, clientPercent } = use;
  const how = `${watches.toLocaleString("en")} watches, ${streams.toLocaleString("en")} streams`;
  return [
    { what: `${how}: events`, unit: "/s", value: ((events * watches) / elapsedMs) * 1000 },
    { what: `${how}: the last one hears, median`, unit: "ms", value: quantile(times, 0.5) },
    { what: `${how}: the last one hears, 99 of 100`, unit: "ms", value: quantile(times, 0.99) },
    { what: `${how}: CPU of the server`, unit: "% of a core", value: serverPercent },
    { what: `${how}: CPU of the client`, unit: "% of a core", value: clientPercent },
    { what: `${how}: memory`, unit: "MB", value: residentMbOf(pid) },
  ];
}

/** Counts what comes on watch streams: one for each watch that stands, and one for each event. */
class Audience {
  #missing = 0;
  #done: () => void = () => {};

  /** Resolves when so many more have come. There is one who waits at a time. */
  heard(count: number): Promise<void> {
    this.#missing += count;
    return new Promise((resolve) => (this.#done = resolve));
  }

  listen(stream: ClientHttp2Stream): void {
    let rest: Buffer = Buffer.alloc(0);
    stream.on("error", (error) => {
      throw error;
    });
    stream.on("data", (chunk: Buffer) => {
      const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      let at = 0;
      for (;;) {
        const start = at + prefixBytes;
        if (start > bytes.length) break;
        const end = start + bytes.readUInt32BE(at + 1);
        if (end > bytes.length) break;
        this.#missing -= eventsIn(bytes, start, end);
        at = end;
      }
      rest = bytes.subarray(at);
      if (this.#missing === 0) this.#done();
    });
  }
}

/** The tags of a WatchResponse's fields that are asked for here. */
const createdTag = 0x18;
const eventsTag = 0x5a;

/** How many events there are in an answer; the answer that a watch stands counts as one. */
function eventsIn(bytes: Buffer, start: number, end: number): number {
  let count = 0;
  for (let at = start; at < end;) {
    const tag = bytes[at++] ?? 0;
    if (tag === createdTag || tag === eventsTag) count += 1;
    let number = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++] ?? 0;
      number += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
    }
    if ((tag & 7) === 2) at += number;
  }
  return count;
}
