// The HTTP/2 of proxies, which say goodbye after so many requests and take no more than so many at once.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findHaproxy, skipHaproxy } from "../../scripts/lib/haproxy.mjs";
import { findNginx, skipNginx } from "../../scripts/lib/nginx.mjs";
import { EtcdClient } from "../../packages/etcd/src/client.ts";
import { FakeServer } from "../../packages/etcd/src/testing/fake-server.ts";
import { killed, launch } from "../support/children.ts";
import { reservePorts } from "../support/ports.ts";
import { until } from "../support/until.ts";

/** How to start a proxy that listens on one port and asks another. */
type Start = (folder: string, listen: number, backend: string) => Promise<ReturnType<typeof launch>>;

const CALLS = 1200;
/** More than HTTP/2 lets a client begin before the proxy has said how many it takes, and more than it takes. */
const AT_ONCE = 150;
const LARGE = "v".repeat(200_000);

let folder: string;
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), "tenure-proxies-"))));
afterAll(() => rm(folder, { recursive: true }));

const startNginx: Start = async (dir, listen, backend) => {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${name};`);
  const file = join(dir, "nginx.conf");
  await writeFile(
    file,
    `daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr;\nevents { }\nhttp {\naccess_log off;\n` +
      `${temporary.join("\n")}\nclient_max_body_size 8m;\n` +
      `keepalive_requests 100;\nhttp2_max_concurrent_streams 100;\n` +
      `server {\nlisten 127.0.0.1:${listen} http2;\nlocation / { grpc_pass grpc://${backend}; }\n}\n}\n`,
  );
  const { bin, env } = await findNginx();
  return launch(bin, ["-p", dir, "-e", "stderr", "-c", file], { env: { ...process.env, ...env } });
};

const startHaproxy: Start = async (dir, listen, backend) => {
  const file = join(dir, "haproxy.cfg");
  await writeFile(
    file,
    "global\n  tune.h2.max-concurrent-streams 100\n" +
      "defaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n" +
      `frontend f\n  bind 127.0.0.1:${listen} proto h2\n  default_backend b\n` +
      `backend b\n  server s ${backend} proto h2\n`,
  );
  const { bin, env } = await findHaproxy();
  return launch(bin, ["-db", "-f", file], { env: { ...process.env, ...env } });
};

describe.each([
  ["nginx", skipNginx, startNginx],
  ["HAProxy", skipHaproxy, startHaproxy],
] as const)("through %s", (_, skip, start) => {
  it.skipIf(skip)(
    "every call is carried out once, whatever goodbyes come in between",
    { timeout: 90_000 },
    async () => {
      await using server = await FakeServer.start();
      const [reserved] = await reservePorts(1);
      if (reserved === undefined) throw new Error("no port");
      const proxy = await start(folder, reserved.port, server.endpoint.replace("http://", ""));
      proxy.stdin.end();
      proxy.stdout.resume();
      proxy.stderr.resume();
      const client = new EtcdClient({ endpoints: [`http://127.0.0.1:${reserved.port}`] });
      try {
        await until(() => client.kv.put("k", "first").then(() => true), { what: "answer through the proxy" });
        const before = server.calls.length;
        let begun = 0;
        const caller = async (): Promise<void> => {
          while (begun < CALLS) await client.kv.put("k", begun++ % 50 === 0 ? LARGE : "v");
        };
        await Promise.all(Array.from({ length: AT_ONCE }, caller));
        expect(server.calls.length - before).toBe(CALLS);
      } finally {
        await client.close();
        await killed(proxy);
        reserved.release();
      }
    },
  );
});
