import type { ClientHttp2Stream } from "node:http2";
import { pause } from "../../tests/support/until.ts";
import type { Load, Measure } from "./protocol.ts";
import { paths, RawClient } from "./raw-client.ts";
import { grantRequest, keepAliveRequest } from "./requests.ts";
import { residentMbOf, Use } from "./use.ts";

/** Clients renew their leases on one stream each; there are so many of them. */
const connections = 10;
const grantsAtOnce = 64;
/** How often a client looks which leases are due. */
const stepMs = 20;

/** Leases that live, each of them renewed every third of its TTL, as etcd's clients do. */
export async function keepAlives(
  client: RawClient,
  load: Extract<Load, { readonly do: "leases" }>,
): Promise<Measure[]> {
  const { leases, ttlSeconds, measureMs, pid, endpoint } = load;
  let granted = 0;
  const worker = async (): Promise<void> => {
    while (granted < leases) await client.ask(paths.grant, grantRequest(++granted, ttlSeconds));
  };
  await Promise.all(Array.from({ length: grantsAtOnce }, worker));
  const requests = Array.from({ length: leases }, (_, index) => keepAliveRequest(index + 1));
  let answers = 0;
  const streams = Array.from({ length: connections }, (): ClientHttp2Stream => {
    const stream = new RawClient(endpoint).stream(paths.keepAlive);
    stream.on("data", (chunk: Buffer) => (answers += messagesIn(chunk)));
    return stream;
  });
  const perMs = leases / ((ttlSeconds * 1000) / 3);
  const startedAt = performance.now();
  let sent = 0;
  const sendDue = (): void => {
    const due = Math.floor((performance.now() - startedAt) * perMs);
    for (; sent < due; sent++) streams[sent % connections]?.write(requests[sent % leases]);
  };
  const timer = setInterval(sendDue, stepMs);
  await pause(measureMs / 4);
  const use = new Use(pid);
  const before = answers;
  await pause(measureMs);
  const { elapsedMs, serverPercent, clientPercent } = use;
  const renewed = answers - before;
  clearInterval(timer);
  const how = `${leases.toLocaleString("en")} leases of ${ttlSeconds} s`;
  return [
    { what: `${how}: renewals`, unit: "/s", value: (renewed / elapsedMs) * 1000 },
    { what: `${how}: CPU of the server`, unit: "% of a core", value: serverPercent },
    { what: `${how}: CPU of the client`, unit: "% of a core", value: clientPercent },
    { what: `${how}: memory`, unit: "MB", value: residentMbOf(pid) },
  ];
}

/** How many messages begin in a chunk: those of this stream are short, and come whole. */
function messagesIn(chunk: Buffer): number {
  let count = 0;
  for (let at = 0; at + 5 <= chunk.length; at += 5 + chunk.readUInt32BE(at + 1)) count += 1;
  return count;
}
