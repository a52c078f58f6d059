import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findNginx, skipNginx } from "../../scripts/lib/nginx.mjs";
import { killed, launch } from "../support/children.ts";
import { reservePorts } from "../support/ports.ts";
import { root } from "../support/process.ts";
import { type RealEtcd, startEtcd } from "../support/real-etcd.ts";
import { settled, until } from "../support/until.ts";
import { get } from "./http-client.ts";
import { supervise } from "./supervised.ts";

const serving = fileURLToPath(new URL("serving.js", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "tenure-nginx-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** The shipped part within as little as nginx needs to run as anybody, with other addresses. */
function configured(ports: readonly number[]): string {
  const [a, b, c, listen] = ports;
  let shipped = readFileSync(`${root}examples/nginx/leader.conf`, "utf8");
  for (const [from, to] of [
    ["10.0.0.1:8080", `127.0.0.1:${a}`],
    ["10.0.0.2:8080", `127.0.0.1:${b}`],
    ["10.0.0.3:8080", `127.0.0.1:${c}`],
    ["listen 80;", `listen 127.0.0.1:${listen};`],
  ] as const) {
    if (!shipped.includes(from)) throw new Error(`there is no ${from} any more`);
    shipped = shipped.replace(from, to);
  }
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${name};`);
  const file = join(folder, "nginx.conf");
  writeFileSync(
    file,
    `daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr;\nevents { }\n` +
      `http {\naccess_log off;\n${temporary.join("\n")}\n${shipped}\n}\n`,
  );
  return file;
}

describe.skipIf(skipNginx)("nginx in front of three nodes", { timeout: 90_000 }, () => {
  let store: RealEtcd;
  beforeAll(async () => void (store = await startEtcd()));
  afterAll(() => store.stop());

  it.each(["SIGTERM", "SIGKILL"] as const)("goes to the new leader after %s of the old one", async (signal) => {
    const reserved = await reservePorts(4);
    const ports = reserved.map(({ port }) => port);
    const [, , , listen = 0] = ports;
    const node = (index: number) =>
      supervise(store, `nginx-${signal}`, {
        flags: ["--on-exit", "resign"],
        program: ["sh", "-c", `exec ${process.execPath} ${serving} ${ports[index]} leader`],
      });
    await using first = node(0);
    const [, , token] = (await first.line(/^started \d+ \d+$/, 25_000)).split(" ");
    await using second = node(1);
    await using third = node(2);
    const { bin, env } = await findNginx();
    const config = configured(ports);
    const nginx = (...args: string[]) =>
      launch(bin, [...args, "-p", folder, "-e", "stderr", "-c", config], { env: { ...process.env, ...env } });
    const tested = nginx("-t");
    const code = new Promise((resolve) => void tested.once("close", resolve));
    expect(await settled(code, { what: "end of nginx -t" })).toBe(0);
    const proxy = nginx();
    proxy.stdout.resume();
    proxy.stderr.resume();
    try {
      const asked = async (): Promise<string> => (await get(listen, "/")).body;
      await until(async () => (await asked()) === `leader ${token}`, { what: "answer of the leader" });
      const statuses = new Set<number>();
      first.signal(signal);
      const next = await until(
        async () => {
          const { status, body } = await get(listen, "/");
          statuses.add(status);
          return status === 200 && body !== `leader ${token}` ? body : undefined;
        },
        { what: "answer of the next leader", timeoutMs: 20_000 },
      );
      // Until there is a new one the only other answer is that there is none.
      expect([...statuses].filter((status) => status !== 200 && status !== 502)).toEqual([]);
      expect(next).toMatch(/^leader \d+$/);
      expect(Number(next.split(" ")[1])).toBeGreaterThan(Number(token));
    } finally {
      await killed(proxy);
      for (const each of [second, third]) each.signal("SIGTERM");
      for (const port of reserved) port.release();
    }
  });
});
