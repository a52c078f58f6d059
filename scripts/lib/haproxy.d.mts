/** HAProxy, its version, and what its environment needs. */
export interface HaproxyBinary {
  readonly bin: string;
  readonly version: string;
  readonly env: Readonly<Record<string, string>>;
}

/** Whether the developer's machine can have no HAProxy, and its tests are to be left out. */
export declare const skipHaproxy: boolean;

/** Finds HAProxy, downloading Debian's package when there is none. */
export declare function findHaproxy(): Promise<HaproxyBinary>;
