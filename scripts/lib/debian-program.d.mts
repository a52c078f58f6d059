/** A program, its version, and what its environment needs. */
export interface DebianProgram {
  readonly bin: string;
  readonly version: string;
  readonly env: Readonly<Record<string, string>>;
}
