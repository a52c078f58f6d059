/**
 * The guard of a process that elects by the library: `connect({ guard: true })`.
 *
 * @module
 */
import { guardParent } from "./guard-parent.ts";

// Nobody reads what it says.
await guardParent({ note: () => undefined });
