import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import { startEmbed } from "@tenure/embed";
import { describe, expect, it } from "vitest";
import { connect } from "tenure";
import { instrument } from "tenure/otel";
import { until } from "../support/until.ts";

/** A program's own collection of metrics. */
function collection() {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 2 ** 31 - 1 });
  const meterProvider = new MeterProvider({ readers: [reader] });
  const collected = async (): Promise<Map<string, unknown[]>> => {
    exporter.reset();
    await reader.forceFlush();
    const scopes = exporter.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics);
    const found = scopes.flatMap(({ metrics }) => metrics);
    return new Map(
      found.map(({ descriptor, dataPoints }) => [
        descriptor.name,
        dataPoints.map(({ value, attributes }) => ({ value, ...attributes })),
      ]),
    );
  };
  return { meterProvider, collected };
}

describe("instrument", () => {
  it("counts terms, requests and connections, and who leads", async () => {
    const { meterProvider, collected } = collection();
    const stop = instrument({ meterProvider });
    await using store = await startEmbed();
    const client = connect({ endpoints: [store.endpoint] });
    const election = client.election("measured");
    const { key } = await election.campaign("v");
    const leading = await collected();
    expect(leading.get("tenure.leader")).toEqual([{ value: 1, "tenure.election": "measured" }]);
    expect(leading.get("tenure.rpcs")).toContainEqual({
      value: 1,
      "rpc.method": "etcdserverpb.KV/Txn",
      "server.address": store.endpoint,
    });
    await client.etcd.kv.delete(key);
    await election.campaign("v").then((term) => term.resign());
    await client.close();
    // A connection is over a moment after its client.
    const closed = JSON.stringify([{ value: 0, "server.address": store.endpoint }]);
    const isOver = async () => JSON.stringify((await collected()).get("tenure.connections")) === closed;
    await until(isOver, { what: "end of the connections" });
    const ended = await collected();
    expect(ended.get("tenure.leader")).toEqual([{ value: 0, "tenure.election": "measured" }]);
    expect(ended.get("tenure.terms")).toEqual([{ value: 2, "tenure.election": "measured" }]);
    expect(ended.get("tenure.term.endings")).toEqual([
      { value: 1, "tenure.election": "measured", "tenure.reason": "leadership-lost" },
      { value: 1, "tenure.election": "measured", "tenure.reason": "not-leader" },
    ]);
    expect(ended.get("tenure.session.endings")?.length).toBeGreaterThan(0);
    stop();
    await using after = connect({ endpoints: [store.endpoint] });
    await after.ready();
    expect((await collected()).get("tenure.rpcs")).toEqual(ended.get("tenure.rpcs"));
  });
});
