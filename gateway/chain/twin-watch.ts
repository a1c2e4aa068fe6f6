/** Whether the chain leads clients to where this gateway listens: told once, counted, shown as health. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { Gauge, type Registry } from 'prom-client';
import type { chain, TwinFacts } from '../../modules/api-gateway/interface.ts';
import type { Client } from '../../modules/zbus/definition.ts';
import { isZbusError } from '../../modules/zbus/errors.ts';
import type { Infer } from '../../modules/zbus/wire.ts';
import { parseRelayDomains } from '../rmb/twins.ts';
import { compareTwin, type TwinDifference, type TwinText, type UpdateMode } from './own-twin.ts';

export interface TwinWatchOptions {
  readonly chain: Pick<Client<typeof chain>, 'OwnTwin' | 'EnsureTwin'>;
  /** Hosts of this gateway's relays and its encryption key. */
  readonly own: TwinText;
  /** SS58, for who has to fund it. */
  readonly address: string;
  readonly create: boolean;
  readonly update: UpdateMode;
  readonly log: Logger;
  readonly registry?: Registry;
}

interface TwinProblem {
  readonly part: 'twin';
  readonly reason: string;
}

const READ_DEADLINE_MS = 10_000;
/** Terms and twin are two transactions, each in a block of its own. */
const WRITE_DEADLINE_MS = 150_000;
/** Each transaction that the chain refuses costs its fee. */
const REFUSALS_MOST = 3;
const LOOK_AGAIN_MS = 600_000;
const RETRY_MS = 5_000;
const ABSENT_RETRY_MS = 1_000;
/** A node that is being registered has no twin for a moment. */
const ABSENT_PATIENCE_MS = 10_000;

export class TwinWatch {
  readonly #options: TwinWatchOptions;
  readonly #startedAt = Date.now();
  #twinId: number | undefined;
  #problems: readonly string[] = [];
  #known = false;
  #said = '';
  #refusals = 0;
  #wrote = false;
  #wake = new AbortController();

  constructor(options: TwinWatchOptions) {
    this.#options = options;
    const { registry } = options;
    if (registry === undefined) return;
    const known = (): boolean => this.#known;
    const count = (): number => this.#problems.length;
    new Gauge({
      name: 'gateway_twin_differences',
      help: 'how many things the chain says of this twin that are not so here; absent until it was asked',
      registers: [registry],
      collect() {
        if (known()) this.set(count());
        else this.remove();
      },
    });
  }

  /** What is wrong with the twin on the chain, as far as is known. */
  problems(): TwinProblem[] {
    return this.#problems.map((reason) => ({ part: 'twin', reason }));
  }

  /** A twin changed on the chain; 0 where any may have. */
  changed(id: number): void {
    if (id === 0 || id === this.#twinId || this.#twinId === undefined) this.#wake.abort();
  }

  /**
   * Writes to the chain at the start, once, as far as the operator allowed, and
   * then only compares: two programs that correct each other would pay for ever.
   */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#wake = new AbortController();
      const pauseMs = await this.#look(signal);
      await sleep(pauseMs, undefined, { signal: AbortSignal.any([signal, this.#wake.signal]) }).catch(() => undefined);
    }
  }

  /** Milliseconds until it should look again. */
  async #look(signal: AbortSignal): Promise<number> {
    const { chain, own, create, update } = this.#options;
    const writes = !this.#wrote && this.#refusals < REFUSALS_MOST && (create || update !== 'never');
    try {
      const facts = writes
        ? await chain.EnsureTwin({ relays: [...own.relays], create, update }, { deadlineMs: WRITE_DEADLINE_MS, signal })
        : await chain.OwnTwin({}, { deadlineMs: READ_DEADLINE_MS, signal });
      this.#wrote ||= writes;
      return this.#judge(facts);
    } catch (error) {
      if (signal.aborted) return 0;
      const code = isZbusError(error, 'call_failed') ? error.remote?.code : undefined;
      if (code === 'chain_dispatch' || code === 'chain_rejected') this.#refusals += 1;
      // These say what the operator has to do; others that the chain cannot be asked, which is no news of the twin.
      if (code !== undefined && /^chain_(twin|account|relays|dispatch|rejected)$/.test(code)) {
        this.#problems = [(error as Error).message];
        this.#known = true;
      }
      this.#say('warn', (error as Error).message);
      return RETRY_MS;
    }
  }

  #judge(facts: Infer<typeof TwinFacts>): number {
    this.#known = true;
    if (!facts.Found) {
      this.#problems = [`account ${this.#options.address} of this key has no twin on the chain`];
      if (Date.now() - this.#startedAt > ABSENT_PATIENCE_MS) {
        this.#say('warn', `${this.#problems[0]}: fund it and start with --create-twin, or make the twin elsewhere`);
      }
      return ABSENT_RETRY_MS;
    }
    this.#twinId = facts.TwinID;
    const { own, update } = this.#options;
    const stored = { relays: parseRelayDomains(facts.Relay), encryptionKey: facts.EncryptionKey };
    const difference = compareTwin(stored, own);
    this.#problems = problemsOf(difference, update);
    const text = describe(difference, stored, own, update);
    this.#say(text === '' ? 'info' : 'warn', text === '' ? 'the chain names the relays of this gateway' : text);
    return LOOK_AGAIN_MS;
  }

  #say(level: 'info' | 'warn', text: string): void {
    if (text === this.#said) return;
    this.#said = text;
    this.#options.log[level]({ twin: this.#twinId }, text);
  }
}

/** Relays of other programs are none of an operator's problems who asked for `union`. A twin without a key gets plain messages. */
function problemsOf({ missing, extra, key }: TwinDifference, update: UpdateMode): string[] {
  const found: string[] = [];
  if (missing.length > 0) found.push(`the chain does not name ${list(missing)}`);
  if (extra.length > 0 && update !== 'union') found.push(`the chain names ${list(extra)}, where nobody listens`);
  if (key === 'other') found.push("the chain has another key for encryption than this gateway's");
  return found;
}

function describe(difference: TwinDifference, stored: TwinText, own: TwinText, update: UpdateMode): string {
  const { missing, extra, key } = difference;
  const parts: string[] = [];
  if (missing.length + extra.length > 0) {
    parts.push(`the chain names ${list(stored.relays)} for this twin, this gateway listens at ${list(own.relays)}`);
  }
  if (missing.length > 0) parts.push(`clients are not led to ${list(missing)}`);
  if (extra.length > 0) parts.push(`what clients send by ${list(extra)} does not come here`);
  if (key === 'absent') parts.push('the twin has no key for encryption, so clients send in the clear');
  if (key === 'other') parts.push('the twin has another key for encryption: encrypted requests cannot be read');
  if (parts.length > 0 && update === 'never') {
    parts.push('start with --update-twin union to add what is missing, --update-twin replace to make it exactly so');
  }
  return parts.join('; ');
}

const list = (names: readonly string[]): string => (names.length === 0 ? 'no relay' : names.join(', '));
