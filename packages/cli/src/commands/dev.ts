import { readFile } from "node:fs/promises";
import { type EmbedTls, startEmbed } from "@tenure/embed";
import { parseEndpoint } from "@tenure/etcd";
import { CommandError, ExitCode } from "../exit-codes.ts";
import { type Address, cannotListen, isLoopback } from "../listening.ts";
import { note, printJson, printLine } from "../output.ts";
import type { Settings } from "../settings.ts";
import { listenForStop } from "../stopping.ts";

/** The flags of `tenure dev`. */
export interface DevFlags {
  readonly listen: string;
  readonly certFile?: string;
  readonly keyFile?: string;
  readonly trustedCaFile?: string;
  readonly allowInsecure?: boolean;
  readonly authTokenTtl: string;
}

/** `tenure dev`: the embedded etcd as a server, until it is told to stop. */
export async function dev(flags: DevFlags, settings: Settings): Promise<number> {
  const { host, port } = listenAddress(flags.listen);
  const options = { tls: await tlsOf(flags), authTokenTtlMs: tokenTtlMs(flags), allowInsecure: flags.allowInsecure };
  if (options.tls === undefined && !isLoopback(host)) {
    if (flags.allowInsecure !== true) {
      const how = "give it --cert-file and --key-file, or --allow-insecure";
      throw new CommandError(ExitCode.usage, `--listen: ${host} can be reached from other machines: ${how}`);
    }
    note(`${host} is not loopback: anybody who reaches it may read and change everything`);
  }
  using stopping = listenForStop();
  await using server = await start({ host, port, ...options });
  if (settings.output === "table") {
    printLine(`etcd v3 API on ${server.endpoint}  (embedded, one process, in memory; Ctrl-C ends it)`);
  } else printJson({ endpoint: server.endpoint });
  await new Promise<void>((resolve) => {
    if (stopping.signal.aborted) resolve();
    stopping.signal.addEventListener("abort", () => resolve(), { once: true });
  });
  return ExitCode.ok;
}

async function start(options: DevOptions): ReturnType<typeof startEmbed> {
  const { host, port, tls, authTokenTtlMs, allowInsecure = false } = options;
  try {
    return await startEmbed({ host, port, authTokenTtlMs, allowInsecure, ...(tls === undefined ? {} : { tls }) });
  } catch (error) {
    if (error instanceof Error && error.message.startsWith("the certificate")) {
      throw new CommandError(ExitCode.configuration, error.message);
    }
    throw cannotListen(error, { host, port }, "--listen");
  }
}

interface DevOptions extends Address {
  readonly tls: EmbedTls | undefined;
  readonly authTokenTtlMs: number;
  readonly allowInsecure: boolean | undefined;
}

/** The certificate and the key that flags name; undefined without them. */
async function tlsOf({ certFile, keyFile, trustedCaFile }: DevFlags): Promise<EmbedTls | undefined> {
  if (certFile === undefined && keyFile === undefined && trustedCaFile === undefined) return undefined;
  if (certFile === undefined || keyFile === undefined) {
    throw new CommandError(ExitCode.usage, "TLS needs both --cert-file and --key-file");
  }
  const [cert, key] = [await pem("--cert-file", certFile), await pem("--key-file", keyFile)];
  return trustedCaFile === undefined
    ? { cert, key }
    : { cert, key, clientCa: await pem("--trusted-ca-file", trustedCaFile) };
}

async function pem(flag: string, file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    const reason = error instanceof Error && "code" in error ? String(error.code) : String(error);
    throw new CommandError(ExitCode.configuration, `${flag}: ${file} cannot be read: ${reason}`);
  }
}

function tokenTtlMs({ authTokenTtl }: DevFlags): number {
  const seconds = Number(authTokenTtl);
  if (Number.isSafeInteger(seconds) && seconds >= 1) return seconds * 1000;
  throw new CommandError(ExitCode.usage, `--auth-token-ttl: "${authTokenTtl}" is no whole number of seconds from 1 on`);
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
