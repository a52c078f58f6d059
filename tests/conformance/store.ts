import { startEmbed } from "@tenure/embed";
import { startEtcd } from "../support/real-etcd.ts";

/** Something that speaks the etcd v3 API, started for one file of tests. */
export interface Store extends AsyncDisposable {
  readonly endpoint: string;
}

/** The stores every shared case runs on. */
export const STORES: readonly { readonly name: string; readonly start: () => Promise<Store> }[] = [
  { name: "embed", start: () => startEmbed() },
  { name: "etcd 3.5", start: () => startEtcd({ version: "3.5" }) },
];
