import { startEmbed } from "@tenure/embed";
import { parseEndpoint } from "@tenure/etcd";
import { CommandError, ExitCode } from "../exit-codes.ts";
import { note, printJson, printLine } from "../output.ts";
import type { Settings } from "../settings.ts";
import { listenForStop } from "../stopping.ts";

const LOOPBACK = /^(127\.|localhost$|::1$)/;

/** `tenure dev`: the embedded etcd as a server, until it is told to stop. */
export async function dev(listen: string, settings: Settings): Promise<number> {
  const { host, port } = listenAddress(listen);
  if (!LOOPBACK.test(host)) note(`${host} is not loopback: anybody who reaches it may read and change everything`);
  using stopping = listenForStop();
  await using server = await start(host, port);
  if (settings.output === "table") {
    printLine(`etcd v3 API on ${server.endpoint}  (embedded, in memory, for development; Ctrl-C ends it)`);
  } else printJson({ endpoint: server.endpoint });
  await new Promise<void>((resolve) => {
    if (stopping.signal.aborted) resolve();
    stopping.signal.addEventListener("abort", () => resolve(), { once: true });
  });
  return ExitCode.ok;
}

async function start(host: string, port: number): ReturnType<typeof startEmbed> {
  try {
    return await startEmbed({ host, port });
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    const why = {
      EADDRINUSE: "the port is in use: stop what listens there, or choose another with --listen",
      EACCES: "permission denied: ports below 1024 need rights",
      EADDRNOTAVAIL: "this machine has no such address",
      ENOTFOUND: "the name cannot be resolved",
    }[code];
    if (why === undefined) throw error;
    throw new CommandError(ExitCode.cannotListen, `cannot listen on ${host}:${port}: ${why}`);
  }
}

/** HOST:PORT, where port 0 asks for any free one. */
function listenAddress(text: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:[\]/@\s]+)):(\d+)$/i.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65_535) {
    throw new CommandError(
      ExitCode.usage,
      `--listen: "${text}" is not HOST:PORT${port > 65_535 ? ", ports end at 65535" : ", as in 127.0.0.1:2379"}`,
    );
  }
  return port === 0 ? { host, port } : parseEndpoint(`http://${host.includes(":") ? `[${host}]` : host}:${port}`);
}
