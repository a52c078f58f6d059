import { type EmbedTls, type JwtOptions, startEmbed, StorageError } from "@tenure/embed";
import { parseEndpoint } from "@tenure/etcd";
import { authTokenOf } from "../auth-token.ts";
import { CommandError, ExitCode } from "../exit-codes.ts";
import { keepHeapDense } from "../heap.ts";
import { type Address, cannotListen, isLoopback } from "../listening.ts";
import { note, printable, printJson, printLine } from "../output.ts";
import type { Settings } from "../settings.ts";
import { listenForStop } from "../stopping.ts";

/** The flags of `tenure dev`. */
export interface DevFlags {
  readonly listen: string;
  readonly dataDir?: string;
  readonly unsafeNoFsync?: boolean;
  readonly certFile?: string;
  readonly keyFile?: string;
  readonly trustedCaFile?: string;
  readonly allowInsecure?: boolean;
  readonly authToken: string;
  readonly authTokenTtl: string;
}

/** `tenure dev`: the embedded etcd as a server, until it is told to stop. */
export async function dev(flags: DevFlags, settings: Settings): Promise<number> {
  const { host, port } = listenAddress(flags.listen);
  const tokens = { authTokenTtlMs: tokenTtlMs(flags), jwt: await authTokenOf(flags.authToken) };
  const keeping = keepingOf(flags);
  const options = { tls: tlsOf(flags), ...tokens, ...keeping, allowInsecure: flags.allowInsecure };
  if (options.tls === undefined && !isLoopback(host)) {
    if (flags.allowInsecure !== true) {
      const how = "give it --cert-file and --key-file, or --allow-insecure";
      throw new CommandError(ExitCode.usage, `--listen: ${host} can be reached from other machines: ${how}`);
    }
    note(`${host} is not loopback: anybody who reaches it may read and change everything`);
  }
  keepHeapDense();
  using stopping = listenForStop();
  await using server = await start({ host, port, ...options });
  if (settings.output === "table") {
    printLine(`etcd v3 API on ${server.endpoint}  (embedded, one process, ${placeOf(keeping)}; Ctrl-C ends it)`);
  } else printJson({ endpoint: server.endpoint });
  const stopped = new Promise<undefined>((resolve) => {
    if (stopping.signal.aborted) resolve(undefined);
    stopping.signal.addEventListener("abort", () => resolve(undefined), { once: true });
  });
  const failure = await Promise.race([stopped, server.failed]);
  if (failure !== undefined) throw new CommandError(ExitCode.cannotWrite, `--data-dir: ${failure.message}`);
  return ExitCode.ok;
}

/** Codes of what cannot be used: certificates, and keys of tokens. */
const UNUSABLE: readonly string[] = ["INVALID_TLS", "INVALID_JWT_KEY"];

async function start(options: DevOptions): ReturnType<typeof startEmbed> {
  const { host, port, tls, authTokenTtlMs, jwt, dataDir, unsafeNoFsync, allowInsecure = false } = options;
  const keeping = { dataDir, unsafeNoFsync, onNotice: note };
  const secure = tls === undefined ? {} : { tls };
  try {
    return await startEmbed({ host, port, authTokenTtlMs, jwt, allowInsecure, ...keeping, ...secure });
  } catch (error) {
    if (error instanceof StorageError) {
      const code = error.code === "DATA_DIR_FAILED" ? ExitCode.cannotWrite : ExitCode.configuration;
      throw new CommandError(code, `--data-dir: ${error.message}`);
    }
    if (error instanceof Error && "code" in error && UNUSABLE.includes(String(error.code))) {
      throw new CommandError(ExitCode.configuration, error.message);
    }
    throw cannotListen(error, { host, port }, "--listen");
  }
}

/** What is kept, and how. */
interface Keeping {
  readonly dataDir: string | undefined;
  readonly unsafeNoFsync: boolean | undefined;
}

interface DevOptions extends Address, Keeping {
  readonly tls: EmbedTls | undefined;
  readonly authTokenTtlMs: number;
  readonly jwt: JwtOptions | undefined;
  readonly allowInsecure: boolean | undefined;
}

function keepingOf({ dataDir, unsafeNoFsync }: DevFlags): Keeping {
  if (dataDir === "") throw new CommandError(ExitCode.usage, "--data-dir: the name of a directory is missing");
  if (unsafeNoFsync === true && dataDir === undefined) {
    throw new CommandError(ExitCode.usage, "--unsafe-no-fsync is about --data-dir, which is missing");
  }
  return { dataDir, unsafeNoFsync };
}

function placeOf({ dataDir, unsafeNoFsync }: Keeping): string {
  if (dataDir === undefined) return "in memory";
  return `in ${printable(dataDir)}${unsafeNoFsync === true ? ", without fsync" : ""}`;
}

/** The certificate and the key that flags name; undefined without them. */
function tlsOf({ certFile, keyFile, trustedCaFile }: DevFlags): EmbedTls | undefined {
  if (certFile === undefined && keyFile === undefined && trustedCaFile === undefined) return undefined;
  if (certFile === undefined || keyFile === undefined) {
    throw new CommandError(ExitCode.usage, "TLS needs both --cert-file and --key-file");
  }
  return { certFile, keyFile, clientCaFile: trustedCaFile, warn: note };
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
