/** Where PostgreSQL's programs are, its version, and what their environment needs. */
export interface PostgresBinaries {
  /** The folder of `initdb` and `postgres`. */
  readonly bin: string;
  readonly version: string;
  readonly env: Readonly<Record<string, string>>;
  /** The folder of the cache that holds all of it; undefined for one that was here. */
  readonly tree?: string;
}

/** Whether the developer's machine can have no PostgreSQL, and its tests are to be left out. */
export declare const skipPostgres: boolean;

/** Finds PostgreSQL, downloading Debian's package when there is none. */
export declare function findPostgres(): Promise<PostgresBinaries>;
