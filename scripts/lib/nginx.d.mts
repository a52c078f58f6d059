import type { DebianProgram } from "./debian-program.mjs";

/** Whether the developer's machine can have no nginx, and its tests are to be left out. */
export declare const skipNginx: boolean;

/** Finds nginx, downloading Debian's package when there is none. */
export declare function findNginx(): Promise<DebianProgram>;
