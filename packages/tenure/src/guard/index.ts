/**
 * What guards are made of, for programs that guard more than leases, as `tenure run` does. The library's own guard
 * needs nothing of this: `connect({ guard: true })`.
 *
 * @module
 */
export { GuardLink, type GuardLinkOptions, type LeaseGuard } from "./guard-link.ts";
export { type Duties, guardParent } from "./guard-parent.ts";
export type { GuardedStore, GuardMessage, OtherMessage } from "./protocol.ts";
