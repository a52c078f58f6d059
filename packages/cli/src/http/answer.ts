/** An answer, ready to be sent. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** The body instead, where it is made of bytes already. */
  readonly bytes?: Buffer;
}

/** Said with every answer: it is true at this instant only, and nothing for a page of another site. */
export const COMMON_HEADERS: Readonly<Record<string, string>> = {
  "Cache-Control": "no-store",
  "X-Content-Type-Options": "nosniff",
  "Cross-Origin-Resource-Policy": "same-origin",
};

/** Characters of a name or value that go into a header. */
const MAX_HEADER_TEXT = 256;

export function jsonAnswer(status: number, body: object, headers: Readonly<Record<string, string>> = {}): Answer {
  return {
    status,
    headers: { "Content-Type": "application/json; charset=utf-8", ...headers },
    body: `${JSON.stringify(body)}\n`,
  };
}

/** An error says what is wrong, and repeats nothing that was sent by whoever knows no token. */
export function errorAnswer(status: number, error: string, headers: Readonly<Record<string, string>> = {}): Answer {
  return jsonAnswer(status, { error }, headers);
}

/**
 * Any text as a header's value: what is not a visible ASCII character, and %, percent-encoded as in URLs. A longer text
 * ends after 256 characters.
 */
export function headerText(text: string): string {
  const characters = Array.from(text.slice(0, 2 * MAX_HEADER_TEXT)).slice(0, MAX_HEADER_TEXT);
  const whole = characters.map((character) => (/^[\ud800-\udfff]$/.test(character) ? "\ufffd" : character));
  return whole.join("").replace(/[^\x21-\x24\x26-\x7e]/gu, (character) => encodeURIComponent(character));
}
