import type { DebianProgram } from "./debian-program.mjs";

/** Whether the developer's machine can have no promtool, and its tests are to be left out. */
export declare const skipPromtool: boolean;

/** Finds promtool, downloading Debian's package when there is none. */
export declare function findPromtool(): Promise<DebianProgram>;
