/** What becomes of a request that may not pass: counted, and told to who proved who it is. */
import type { Logger } from 'pino';
import { GridError } from '../../schemas/errors/index.ts';
import { type Answer, refusalAnswer } from '../rmb/answer.ts';
import type { Envelope } from '../rmb/envelope.ts';
import type { TwinRecord } from '../rmb/twins.ts';
import type { DoorLimits } from './limits.ts';
import type { Check, DoorMetrics } from './metrics.ts';
import { Bucket, TwinBuckets } from './rate.ts';
import type { Ignored } from './shape.ts';
import type { Verdict } from './verdict.ts';

/** Sends an answer to a verified sender, as `RmbClient.answer`. */
export type SendAnswer = (request: Envelope, twin: TwinRecord, answer: Answer) => Promise<void>;

interface RefusalTools {
  readonly answer: SendAnswer;
  readonly log: Logger;
  readonly metrics: DoorMetrics;
  readonly limits: DoorLimits;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Whether requests that could be let in have to be turned away. */
  readonly overloaded: () => boolean;
  /** The twin that signed the envelope. */
  readonly prove: (envelope: Envelope) => Promise<TwinRecord | GridError>;
}

/** Signatures verified at once for telling alone; in an overload others wait for the same threads. */
const PROVING_MOST = 64;
const PROVING_MOST_OVERLOADED = 4;

export class Refusals {
  readonly #tools: RefusalTools;
  readonly #tellTwin: TwinBuckets;
  readonly #tellAll: Bucket;
  #proving = 0;

  constructor(tools: RefusalTools) {
    this.#tools = tools;
    const { tellPerSecond, tellBurst, tellPerSecondInAll } = tools.limits;
    this.#tellTwin = new TwinBuckets(tellPerSecond, tellBurst);
    this.#tellAll = new Bucket(tellPerSecondInAll, tellPerSecondInAll);
  }

  ignore(reason: Ignored): Verdict {
    this.#tools.metrics.ignored.inc({ reason });
    return { outcome: 'ignored', reason };
  }

  refuse(check: Check, refusal: GridError, answered = false): Verdict {
    this.#tools.metrics.refused.inc({ check, code: refusal.code });
    this.#tools.log.debug({ check, code: refusal.code, reason: refusal.message }, 'request refused');
    return { outcome: 'refused', check, refusal, answered };
  }

  /** A refusal to a sender that proved who it is. */
  async tell(check: Check, refusal: GridError, envelope: Envelope, twin: TwinRecord): Promise<Verdict> {
    try {
      await this.#tools.answer(envelope, twin, refusalAnswer(refusal));
      this.#tools.metrics.told.inc();
      return this.refuse(check, refusal, true);
    } catch (error) {
      this.#tools.log.warn(
        { twin: twin.id, trace: envelope.uid, reason: (error as Error).message },
        'refusal not sent',
      );
      return this.refuse(check, refusal);
    }
  }

  /**
   * A refusal found before the sender proved who it is: that is made up for,
   * some times a second for each twin and in all, as telling costs about what
   * answering costs; and it is told if the sender is the twin.
   */
  async proveAndTell(check: Check, refusal: GridError, envelope: Envelope): Promise<Verdict> {
    if (!this.#mayTell(envelope.source?.twin ?? 0)) return this.refuse(check, refusal);
    this.#proving += 1;
    let twin: TwinRecord | GridError;
    try {
      twin = await this.#tools.prove(envelope);
    } finally {
      this.#proving -= 1;
    }
    if (twin instanceof GridError) return this.refuse(check, refusal);
    return await this.tell(check, refusal, envelope, twin);
  }

  #mayTell(twin: number): boolean {
    const most = this.#tools.overloaded() ? PROVING_MOST_OVERLOADED : PROVING_MOST;
    if (this.#proving >= most) return false;
    const now = this.#tools.now();
    return this.#tellTwin.take(twin, now) === 0 && this.#tellAll.take(now) === 0;
  }
}
