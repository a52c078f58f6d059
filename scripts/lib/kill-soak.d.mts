/** What a soak looked at. */
export interface SoakReport {
  readonly kills: number;
  /** Requests that were acknowledged, over all lives. */
  readonly acknowledged: number;
  /** Keys, leases and revisions that were compared after a restart. */
  readonly compared: number;
  /** What was lost, went back or did not start: one line each. */
  readonly problems: readonly string[];
  /** Milliseconds from exec to accepting, over all starts. */
  readonly startMs: { readonly median: number; readonly max: number };
}

/** Kills `tenure dev --data-dir` under load so many times, and looks each time whether all is there. */
export declare function killSoak(options: {
  readonly kills: number;
  readonly seed: number;
  readonly note?: (line: string) => void;
}): Promise<SoakReport>;
