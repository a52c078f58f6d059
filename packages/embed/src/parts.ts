import type { Inside } from "./core/inside.ts";
import type { EmbedServer } from "./index.ts";
import type { GrpcServer } from "./shell/grpc-server.ts";

/** What stands behind a running server, for the test kit. */
export interface Parts {
  readonly inside: Inside;
  readonly grpc: GrpcServer;
  /** Where clients are told to find the server. */
  readonly clientUrls: string[];
}

const parts = new WeakMap<EmbedServer, Parts>();

/** Remembers what stands behind a server. */
export function keepParts(server: EmbedServer, own: Parts): void {
  parts.set(server, own);
}

/** What stands behind a server that `startEmbed` has returned. */
export function partsOf(server: EmbedServer): Parts {
  const own = parts.get(server);
  if (own === undefined) throw new TypeError("not a server that startEmbed returned");
  return own;
}
