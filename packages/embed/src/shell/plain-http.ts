import { ETCD_VERSION } from "../core/maintenance.ts";

/** An answer to a request that is not gRPC. */
export interface PlainAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

const HINT =
  "This is the gRPC port of an etcd v3 server: use an etcd client (HTTP/2, content-type application/grpc).\n" +
  "Over plain HTTP it answers GET /health and GET /version only.\n";

/** Answers a request that is not gRPC: health and version as etcd does, anything else with a hint. */
export function plainAnswer(method: string | undefined, path: string | undefined): PlainAnswer {
  if (method === "GET" && path === "/health") return json({ health: "true" });
  if (method === "GET" && path === "/version") return json({ etcdserver: ETCD_VERSION, etcdcluster: "3.5.0" });
  return {
    status: method === "POST" ? 415 : 404,
    contentType: "text/plain; charset=utf-8",
    body: HINT,
  };
}

function json(value: Readonly<Record<string, string>>): PlainAnswer {
  return { status: 200, contentType: "application/json", body: JSON.stringify(value) };
}
