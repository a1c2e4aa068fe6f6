/** Tells the chain since when the node runs: at the start, and by a schedule; nothing else proves that it does. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { chain, substrateGateway } from '../api-gateway/interface.ts';
import type { Client } from '../zbus/definition.ts';
import type { Host } from './drivers/host.ts';

export interface UptimeLimits {
  /** Milliseconds between two reports. Existing nodes report every 40 minutes. */
  readonly periodMs: number;
  /** A report comes up to so much earlier, so that a farm's nodes do not report at once. Never later. */
  readonly jitterMs: number;
  /** Milliseconds before the next try after one that failed, doubled up to the second number. */
  readonly retryMs: readonly [number, number];
  /** Milliseconds that one report may take. */
  readonly deadlineMs: number;
}

export const UPTIME_LIMITS: UptimeLimits = {
  periodMs: 40 * 60_000,
  jitterMs: 2 * 60_000,
  retryMs: [10_000, 300_000],
  deadlineMs: 70_000,
};

export interface UptimeOptions {
  readonly host: Pick<Host, 'uptimeSeconds'>;
  readonly chain: Pick<Client<typeof chain>, 'Node'>;
  readonly gateway: Pick<Client<typeof substrateGateway>, 'GetTime' | 'UpdateNodeUptimeV2'>;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
  readonly limits?: UptimeLimits;
}

/** Milliseconds that the chain's time may be asked for. */
const ASK_MS = 10_000;
/** Failures in a row of which the log makes an alarm: with the usual limits half an hour. */
const ALARM_AFTER = 10;

export interface UptimeNumbers {
  readonly told: number;
  readonly failed: number;
  /** Since the last success. */
  readonly failedInARow: number;
  /** Milliseconds since 1970; 0 before the first. */
  readonly lastSuccessAt: number;
  readonly lastError: string;
}

export class UptimeReporter {
  readonly #options: UptimeOptions;
  readonly #limits: UptimeLimits;
  #numbers: UptimeNumbers = { told: 0, failed: 0, failedInARow: 0, lastSuccessAt: 0, lastError: '' };

  constructor(options: UptimeOptions) {
    this.#options = options;
    this.#limits = options.limits ?? UPTIME_LIMITS;
  }

  get numbers(): UptimeNumbers {
    return this.#numbers;
  }

  /** Until the signal aborts. Waits by time that really passed: a clock that jumps brings no report and skips none. */
  async run(signal: AbortSignal): Promise<void> {
    const { periodMs, jitterMs, retryMs } = this.#limits;
    let delayMs = retryMs[0];
    while (!signal.aborted) {
      let waitMs = periodMs - Math.random() * jitterMs;
      try {
        await this.#report(signal);
        delayMs = retryMs[0];
      } catch (error) {
        if (signal.aborted) return;
        this.#failed(error as Error, delayMs);
        waitMs = delayMs;
        delayMs = Math.min(delayMs * 2, retryMs[1]);
      }
      await sleep(waitMs, undefined, { signal }).catch(() => undefined);
    }
  }

  /**
   * The hint is the chain's time, as it refuses one that is a minute off: a host whose clock is wrong reports all
   * the same. What it says of the past is harmless twice.
   */
  async #report(signal: AbortSignal): Promise<void> {
    const { host, chain: node, gateway, log } = this.#options;
    // Without a node on the chain a report is refused, and paid for.
    await node.Node({}, { deadlineMs: ASK_MS, signal });
    const { seconds: now } = await gateway.GetTime({}, { deadlineMs: ASK_MS, signal });
    const uptime = Math.floor(await host.uptimeSeconds());
    await gateway.UpdateNodeUptimeV2({ uptime, timestampHint: now }, { deadlineMs: this.#limits.deadlineMs, signal });
    const { told, failed } = this.#numbers;
    this.#numbers = { told: told + 1, failed, failedInARow: 0, lastSuccessAt: Date.now(), lastError: '' };
    log.info({ uptimeSeconds: uptime }, 'told the chain since when the node runs');
  }

  #failed(error: Error, againInMs: number): void {
    const { log } = this.#options;
    const failedInARow = this.#numbers.failedInARow + 1;
    const failed = this.#numbers.failed + 1;
    this.#numbers = { ...this.#numbers, failed, failedInARow, lastError: error.message };
    const facts = { err: error, failedInARow, againInMs: Math.round(againInMs) };
    if (failedInARow === ALARM_AFTER) log.error(facts, 'ALARM: the chain does not hear since when the node runs');
    else log.warn(facts, 'the chain was not told since when the node runs');
  }
}
