import type { DebianProgram } from "./debian-program.mjs";

/** Whether the developer's machine can have no HAProxy, and its tests are to be left out. */
export declare const skipHaproxy: boolean;

/** Finds HAProxy, downloading Debian's package when there is none. */
export declare function findHaproxy(): Promise<DebianProgram>;
