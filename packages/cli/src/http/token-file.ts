import { createHash, timingSafeEqual } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { CommandError, ExitCode } from "../exit-codes.ts";

const FLAG = "--http-token-file";
const MAX_BYTES = 4096;
/** Shorter ones could be guessed. */
const MIN_CHARACTERS = 16;
const ADVICE = "make one with: openssl rand -hex 32";
const GROUP_READS = 0o040;
const OTHERS_OR_GROUP = 0o077;
const ROOT = 0;

/**
 * The secret that actions need, in a file that only this user can read. It is read anew each time, so whoever replaces
 * the file replaces the secret; it is kept nowhere.
 */
export class TokenFile {
  readonly #path: string;
  readonly #user: number | undefined;

  /** @param user who reads it, by number: this process */
  constructor(path: string, user: number | undefined = process.geteuid?.()) {
    this.#path = path;
    this.#user = user;
  }

  /** Reads it once, to find out now rather than later. Throws CommandError 78 that says what is wrong with the file. */
  async check(): Promise<void> {
    await this.#read();
  }

  /** Whether a text is the secret, in a time that does not tell how much of it is. Throws CommandError 78. */
  async matches(text: string): Promise<boolean> {
    return timingSafeEqual(digest(text), digest(await this.#read()));
  }

  async #read(): Promise<string> {
    let file: FileHandle;
    try {
      // A pipe would keep us waiting for who writes.
      file = await open(this.#path, constants.O_RDONLY | constants.O_NONBLOCK);
    } catch (error) {
      throw this.#wrong(`cannot be read: ${whyOf(error)}`);
    }
    try {
      const { uid, mode, size } = await file.stat();
      if ((mode & constants.S_IFMT) !== constants.S_IFREG) throw this.#wrong("is no file");
      this.#assertOwn(uid, mode);
      if (size > MAX_BYTES) throw this.#wrong(`is longer than ${MAX_BYTES} bytes`);
      return this.#token(await file.readFile("utf8"));
    } finally {
      await file.close();
    }
  }

  /** As ssh and PostgreSQL want it: ours alone; or root's, which may let our group read it. */
  #assertOwn(owner: number, mode: number): void {
    const us = this.#user;
    if (owner !== us && owner !== ROOT) throw this.#wrong("belongs to another user: whoever that is could change it");
    const forbidden = owner === us ? OTHERS_OR_GROUP : OTHERS_OR_GROUP & ~GROUP_READS;
    if ((mode & forbidden) === 0) return;
    const shown = (mode & 0o777).toString(8).padStart(4, "0");
    throw this.#wrong(`is open to others, with mode ${shown}: chmod 600`);
  }

  #token(text: string): string {
    const token = text.trim();
    if (!/^[A-Za-z0-9._~+/-]+=*$/.test(token)) {
      throw this.#wrong(`must hold one line of letters, digits and -._~+/; ${ADVICE}`);
    }
    if (token.length < MIN_CHARACTERS) {
      throw this.#wrong(`holds fewer than ${MIN_CHARACTERS} characters; ${ADVICE}`);
    }
    return token;
  }

  #wrong(what: string): CommandError {
    return new CommandError(ExitCode.configuration, `${FLAG}: ${this.#path} ${what}`);
  }
}

/** Of one length, whatever it is made from. */
function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

function whyOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
  return { ENOENT: "there is no such file", EACCES: "permission denied", ENXIO: "it is no file" }[code] ?? code;
}
