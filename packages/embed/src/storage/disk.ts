/**
 * What a store needs of a directory: few enough calls that tests can bring one that loses power, or is full.
 *
 * @module
 */

/** A directory of files. Names are without a path. */
export interface Disk {
  /** Where it is, for messages. */
  readonly path: string;
  /** Names of what is in it. */
  list(): Promise<readonly string[]>;
  /** Makes an empty file that was not there. */
  create(name: string): Promise<DiskFile>;
  /** Opens a file that is there. */
  open(name: string): Promise<DiskFile>;
  /** Gives a file another name, in place of what had it. */
  rename(from: string, to: string): Promise<void>;
  remove(name: string): Promise<void>;
  /** Makes sure that files made, renamed and removed so far stay so. */
  sync(): Promise<void>;
}

/** A file that grows at its end. */
export interface DiskFile {
  size(): Promise<number>;
  /** Reads so many bytes from an offset on, or as many as there are. */
  read(offset: number, length: number): Promise<Buffer>;
  /** Writes bytes at an offset, all of them or an error. */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  truncate(size: number): Promise<void>;
  /** Makes sure that what was written stays. */
  sync(): Promise<void>;
  close(): Promise<void>;
}
