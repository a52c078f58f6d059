/** What is wrong with a data directory. */
export type StorageErrorCode =
  /** It is no directory, cannot be used, or holds something else. */
  | "DATA_DIR_UNUSABLE"
  /** Another process uses it. */
  | "DATA_DIR_IN_USE"
  /** What was kept there has changed since. */
  | "DATA_DIR_DAMAGED"
  /** It was written by a newer version. */
  | "DATA_DIR_TOO_NEW"
  /** A write failed: what the server says can no longer be kept. */
  | "DATA_DIR_FAILED";

/** A data directory that cannot be used, or not any more. The message says where, and what to do. */
export class StorageError extends Error {
  readonly code: StorageErrorCode;

  constructor(code: StorageErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "StorageError";
    this.code = code;
  }
}

/** A file in which something stands that nobody wrote so. */
export function damaged(path: string, offset: number, what: string): StorageError {
  const remedy = "nothing was changed: restore the directory from a copy, or start with an empty one";
  return new StorageError("DATA_DIR_DAMAGED", `${path} is damaged at byte ${offset}: ${what}; ${remedy}`);
}

/** An error of the operating system in a word. */
export function reasonOf(error: unknown): string {
  if (error instanceof Error && "code" in error) return String(error.code);
  return error instanceof Error ? error.message : String(error);
}
