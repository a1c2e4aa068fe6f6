/** How one kind of report fares. */
export interface ReportNumbers {
  /** Told to nobody yet, or sent without a known end. */
  readonly pending: number;
  /** Since the file of reports was made. */
  readonly told: number;
  /** Tries that failed since the start. */
  readonly failed: number;
  /** Dead letters: refused, kept, tried again seldom. */
  readonly dead: number;
  /** Milliseconds since 1970; 0 before the first. */
  readonly lastSuccessAt: number;
}
