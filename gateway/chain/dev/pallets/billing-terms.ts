/** When contracts are billed, and how long one may owe. */
export interface BillingTerms {
  /** Seconds between two bills of a contract; 0 bills none. */
  readonly everySeconds: number;
  /** Blocks after which a contract in its grace period is deleted. */
  readonly graceBlocks: number;
  /** Contracts of which a node's reports are refused, each with all that is in its call. */
  readonly refusedReports: readonly number[];
}

/** 14 days of blocks 6 s apart. */
const GRACE_BLOCKS = 201_600;

export const NO_BILLING: BillingTerms = { everySeconds: 0, graceBlocks: GRACE_BLOCKS, refusedReports: [] };
