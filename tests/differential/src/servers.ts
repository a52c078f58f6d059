import { rm } from "node:fs/promises";
import type { JwtOptions } from "@tenure/embed";
import { type EmptyPair, startEmpty, startFresh } from "./empty-pair.ts";
import { type EtcdProcess, startEtcd } from "./etcd-process.ts";
import { jwtSecret, writeJwtSecret } from "./jwt.ts";

/** Which etcd a script runs on: one that was emptied, one that has just been started, or one that signs its tokens. */
export type ServerKind = "emptied" | "fresh" | "jwt";

const signed: JwtOptions = { signMethod: "HS256", privateKey: jwtSecret };

/** The etcds of a comparison, each started when it is first needed. */
export class Servers {
  readonly #binary: string;
  readonly #etcds = new Map<ServerKind, Promise<EtcdProcess>>();
  #secretFile: string | undefined;

  constructor(binary: string) {
    this.#binary = binary;
  }

  /** An embedded server and an etcd, both empty. */
  async start(kind: ServerKind): Promise<EmptyPair> {
    if (kind === "fresh") return startFresh(await startEtcd(this.#binary));
    const etcd = this.#etcds.get(kind) ?? this.#startEtcd(kind);
    this.#etcds.set(kind, etcd);
    return startEmpty((await etcd).endpoint, kind === "jwt" ? signed : undefined);
  }

  /** What an etcd said last that has ended by itself. */
  async lastWords(): Promise<string | undefined> {
    for (const etcd of this.#etcds.values()) {
      const words = await etcd.then(
        (each) => each.lastWords(),
        () => undefined,
      );
      if (words !== undefined) return words;
    }
    return undefined;
  }

  async stop(): Promise<void> {
    await Promise.allSettled([...this.#etcds.values()].map(async (etcd) => (await etcd).stop()));
    if (this.#secretFile !== undefined) await rm(this.#secretFile, { force: true });
  }

  async #startEtcd(kind: ServerKind): Promise<EtcdProcess> {
    if (kind !== "jwt") return startEtcd(this.#binary);
    this.#secretFile = await writeJwtSecret();
    return startEtcd(this.#binary, [`--auth-token=jwt,sign-method=HS256,priv-key=${this.#secretFile}`]);
  }
}
