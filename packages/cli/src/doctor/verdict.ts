/** What one check found. */
export interface Verdict {
  /** What was looked at. */
  readonly check: string;
  readonly verdict: "ok" | "warning" | "problem";
  readonly finding: string;
  /** Single findings that belong together. */
  readonly details: readonly string[];
  /** What to do; null when nothing is to be done. */
  readonly advice: string | null;
}

/** Nothing is to be done. */
export function ok(check: string, finding: string): Verdict {
  return { check, verdict: "ok", finding, details: [], advice: null };
}

/** Elections work, but not as well, or not as safely, as they could. */
export function warning(check: string, finding: string, advice: string, details: readonly string[] = []): Verdict {
  return { check, verdict: "warning", finding, details, advice };
}

/** Elections do not work, or cannot be relied upon. */
export function problem(check: string, finding: string, advice: string): Verdict {
  return { check, verdict: "problem", finding, details: [], advice };
}
