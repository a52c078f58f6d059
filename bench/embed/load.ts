// A process of its own that puts one server under one load, and prints what came out as one line of JSON.
import { fanOut } from "./fan-out-load.ts";
import { keepAlives } from "./leases-load.ts";
import type { Load, Measure } from "./protocol.ts";
import { fill, firstPut, puts } from "./puts-load.ts";
import { RawClient } from "./raw-client.ts";

const load = JSON.parse(process.argv[2] ?? "") as Load;
const client = new RawClient(load.endpoint);
const measures = await Promise.race([run(load), client.broken()]);
process.stdout.write(`${JSON.stringify(measures)}\n`, () => process.exit());

function run(of: Load): Promise<Measure[]> {
  switch (of.do) {
    case "puts":
      return puts(client, of);
    case "fill":
      return fill(client, of);
    case "first-put":
      return firstPut(client);
    case "fan-out":
      return fanOut(client, of);
    case "leases":
      return keepAlives(client, of);
  }
}
