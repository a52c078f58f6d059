import type { FileKind } from "./file-header.ts";

/** What is behind the name of a file while it is made. */
export const UNFINISHED = ".tmp";

const ENDINGS: { readonly [kind in FileKind]: string } = { checkpoint: ".snap", log: ".log" };
const NAME = /^(\d{8,})\.(snap|log)$/;

/** The name of a file. */
export function fileName(kind: FileKind, generation: number): string {
  return `${String(generation).padStart(8, "0")}${ENDINGS[kind]}`;
}

/** What a name says; undefined if it is none of a store. */
export function parseFileName(name: string): { readonly kind: FileKind; readonly generation: number } | undefined {
  const match = NAME.exec(name);
  if (match === null) return undefined;
  return { kind: match[2] === "log" ? "log" : "checkpoint", generation: Number(match[1]) };
}
