import { ErrorCode } from "./frames.ts";

/** The name of each code in HTTP/2's own spelling. */
const NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(ErrorCode).map(([name, code]) => [code, name.replace(/([A-Z1])/g, "_$1").toUpperCase()]),
);

/** What is wrong with a stream or a whole connection, whoever noticed it. */
export class Http2Error extends Error {
  override readonly name = "Http2Error";
  /** One of {@link ErrorCode}; of a code from elsewhere it may be any number. */
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }

  /** The name of a code as the standard spells it, as for logs. */
  static nameOf(code: number): string {
    return NAMES.get(code) ?? `code ${code}`;
  }
}
