import type { Leader } from "tenure";

/** A leader or candidate in JSON: numbers too large for JavaScript's are text, the lease is in hex as in its key. */
interface LeaderJson {
  readonly key: string;
  readonly value: string;
  readonly revision: string;
  readonly lease: string;
}

/** A leader or candidate as every command prints it. */
export function leaderJson(leader: Pick<Leader, "key" | "value" | "revision" | "leaseId">): LeaderJson {
  return {
    key: leader.key,
    value: leader.value,
    revision: leader.revision.toString(),
    lease: leader.leaseId.toString(16),
  };
}

/** Who leads, as `leader` and each line of `observe` print it. */
export function leadershipJson(election: string, leader: Leader | null, revision: bigint): object {
  return { election, leader: leader === null ? null : leaderJson(leader), revision: revision.toString() };
}

/** Data for the user, on stdout. */
export function printLine(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** One compact line for programs. */
export function printJson(value: object): void {
  printLine(JSON.stringify(value));
}

/** What is not data, on stderr. */
export function note(text: string): void {
  process.stderr.write(`tenure: ${printable(text)}\n`);
}

/** Text from elsewhere, made harmless for a terminal: control and direction characters are shown as their code. */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what this looks for
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return code <= 0xff ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

/** Columns as wide as their widest cell, two spaces apart. */
export function table(rows: readonly (readonly string[])[]): string {
  const shown = rows.map((row) => row.map(printable));
  const widths: number[] = [];
  for (const row of shown) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length);
  }
  return shown
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
