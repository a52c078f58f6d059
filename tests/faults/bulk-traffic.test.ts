import { connect } from "tenure";
import { describe, expect, it } from "vitest";
import { startProxy } from "../support/proxy.ts";
import { startEtcd } from "../support/real-etcd.ts";

// Where all share a connection, the answers of bulk reads come first, and keep-alives and watches starve behind them.
describe("a client that is used for other things than elections", () => {
  it("has its elections on a connection of their own (etcd#15402, etcd#17529)", async () => {
    await using etcd = await startEtcd();
    await using link = await startProxy(etcd.endpoint);
    await using client = connect({ endpoints: [link.endpoint] });
    const term = await client.election("own-connection").campaign("a");
    expect(link.connections).toBe(1);
    await client.etcd.kv.put("bulk", Buffer.alloc(1024 * 1024));
    await client.etcd.kv.get("bulk");
    expect(link.connections).toBe(2);
    await term.proclaim();
    expect(link.connections).toBe(2);
  });
});
