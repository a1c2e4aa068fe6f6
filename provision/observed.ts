/** What provisiond does, in numbers for who watches the node and in spans of each request; the work itself knows nothing of it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { measured } from '../modules/zbus/telemetry/measured.ts';
import type { DaemonMetrics } from '../modules/zbus/telemetry/metrics.ts';
import { Counter, Gauge, Histogram } from '../modules/zbus/telemetry/prometheus.ts';
import { span } from '../modules/zbus/trace.ts';
import { isGridError } from '../schemas/errors/index.ts';
import type { Acceptor } from './accept.ts';
import type { OnCheck } from './kyc.ts';
import type { DeploymentRecord, Journal, StepEntry } from './store/journal.ts';
import type { Verifier } from './verify.ts';

const FAST_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.015, 0.05, 0.25, 1];
const SLOW_BUCKETS = [0.01, 0.05, 0.25, 1, 5, 15, 60, 300];
/** Steps whose beginnings are remembered; more than run side by side. */
const STEPS_MOST = 10_000;

/** Of the journal, what writes. */
const writes: ReadonlySet<string> = new Set<keyof Journal>([
  ...(['accept', 'revise', 'finish', 'settle', 'decommission', 'cancel', 'release', 'tombstone'] as const),
  ...(['pause', 'restoring', 'begin', 'end', 'recordStep'] as const),
]);

export class Observed {
  readonly #admissions: Counter<'kind' | 'outcome'>;
  readonly #admissionSeconds: Histogram<'kind' | 'outcome'>;
  readonly #contractSeconds: Histogram<'outcome'>;
  readonly #kycChecks: Counter<'result'>;
  readonly #kycSeconds: Histogram<'result'>;
  readonly #commitSeconds: Histogram<'write'>;
  readonly #ended: Counter<'kind' | 'state'>;
  readonly #stepSeconds: Histogram<'type' | 'step' | 'outcome'>;
  readonly #retries: Counter<'type' | 'step'>;
  /** When the present attempt of each step began. */
  readonly #begun = new Map<string, number>();

  constructor({ registry }: DaemonMetrics) {
    const registers = [registry];
    this.#admissions = new Counter({
      name: 'provision_admissions_total',
      help: 'Decisions on what tenants asked to have: accepted, or the code of the refusal',
      labelNames: ['kind', 'outcome'],
      registers,
    });
    this.#admissionSeconds = new Histogram({
      name: 'provision_admission_seconds',
      help: 'How long tenants waited for a decision, with the look at the chain and at the node',
      labelNames: ['kind', 'outcome'],
      buckets: SLOW_BUCKETS,
      registers,
    });
    this.#contractSeconds = new Histogram({
      name: 'provision_contract_check_seconds',
      help: 'How long it took to see that a contract pays for a deployment, or what is wrong with it',
      labelNames: ['outcome'],
      buckets: SLOW_BUCKETS,
      registers,
    });
    this.#kycChecks = new Counter({
      name: 'provision_kyc_checks_total',
      help: 'Questions whether a twin is a verified user: ok, refused, unreachable (no answer that counts), cached, or left by who asked',
      labelNames: ['result'],
      registers,
    });
    this.#kycSeconds = new Histogram({
      name: 'provision_kyc_check_seconds',
      help: 'How long it took to know whether a twin is a verified user, by what it came to',
      labelNames: ['result'],
      buckets: SLOW_BUCKETS,
      registers,
    });
    this.#commitSeconds = new Histogram({
      name: 'provision_journal_write_seconds',
      help: "How long the node's own records took to be on the disk; slow ones mean a slow or failing disk",
      labelNames: ['write'],
      buckets: FAST_BUCKETS,
      registers,
    });
    this.#ended = new Counter({
      name: 'provision_operations_ended_total',
      help: 'What was asked of the node and is over, by what it was and how it ended',
      labelNames: ['kind', 'state'],
      registers,
    });
    this.#stepSeconds = new Histogram({
      name: 'provision_step_seconds',
      help: 'How long single steps towards a running workload took, by attempt',
      labelNames: ['type', 'step', 'outcome'],
      buckets: SLOW_BUCKETS,
      registers,
    });
    this.#retries = new Counter({
      name: 'provision_step_failures_total',
      help: 'Attempts at steps that failed; most are tried again',
      labelNames: ['type', 'step'],
      registers,
    });
  }

  /** Measures every write and counts operations that end. */
  journal(journal: Journal): Journal {
    return measured(
      journal,
      (write, run, args) => {
        const [id, state, , only] = args as readonly [string, string, string?, string?];
        const isEnding = write === 'end' || write === 'tombstone';
        const ending = isEnding ? journal.pending(id).filter((one) => only === undefined || one.id === only) : [];
        const began = performance.now();
        const result = span('journal write', { 'gridnode.write': write }, () => run());
        this.#commitSeconds.observe({ write }, (performance.now() - began) / 1000);
        if (write === 'end') for (const { kind, state: was } of ending) if (was === 'running') this.#over(kind, state);
        if (write === 'tombstone') for (const { kind } of ending) if (kind === 'cancel') this.#over(kind, 'done');
        return result;
      },
      (name) => writes.has(name),
    );
  }

  acceptor(acceptor: Acceptor): Acceptor {
    return measured(
      acceptor,
      (kind, run) => {
        const began = performance.now();
        const told = (outcome: string): void => {
          this.#admissions.inc({ kind, outcome });
          const seconds = (performance.now() - began) / 1000;
          this.#admissionSeconds.observe({ kind, outcome: outcome === 'accepted' ? outcome : 'refused' }, seconds);
        };
        return ended(span('admission', { 'gridnode.kind': kind }, run), (error) => told(outcomeOf(error, 'accepted')));
      },
      (name) => name === 'create' || name === 'update',
    );
  }

  verifier(verifier: Verifier): Verifier {
    return measured(
      verifier,
      (_name, run) => {
        const began = performance.now();
        return ended(span('contract check', {}, run), (error) => {
          const outcome = outcomeOf(error, 'ok');
          this.#contractSeconds.observe({ outcome }, (performance.now() - began) / 1000);
        });
      },
      (name) => name === 'contract',
    );
  }

  /** One question to the service that knows verified users. */
  readonly kycCheck: OnCheck = (result, seconds) => {
    this.#kycChecks.inc({ result });
    this.#kycSeconds.observe({ result }, seconds);
  };

  step({ id, workloads }: DeploymentRecord, { workload, step, state, at }: StepEntry): void {
    const key = `${id} ${workload} ${step}`;
    const type = workloads.find(({ name }) => name === workload)?.type ?? 'unknown';
    const since = this.#begun.get(key);
    if (state === 'failed') this.#retries.inc({ type, step });
    if (state === 'started' || state === 'failed') {
      if (this.#begun.size >= STEPS_MOST) this.#begun.clear();
      this.#begun.set(key, at);
    } else this.#begun.delete(key);
    if (state === 'started' || since === undefined) return;
    this.#stepSeconds.observe({ type, step, outcome: state }, Math.max(0, at - since) / 1000);
  }

  #over(kind: string, state: string): void {
    // Put back into the queue is no end.
    if (state !== 'queued') this.#ended.inc({ kind, state });
  }
}

function ended<T>(result: T, tell: (error: unknown) => void): T {
  if (!(result instanceof Promise)) tell(undefined);
  else
    result.then(
      () => tell(undefined),
      (error: unknown) => tell(error ?? new Error('failed')),
    );
  return result;
}

/** Codes are those of the error table; what is none of them is one. */
function outcomeOf(error: unknown, well: string): string {
  if (error === undefined) return well;
  return isGridError(error) ? error.code : 'failed';
}

/** A gauge whose lines are read anew each time. */
export function gauge<const L extends string>(
  { registry }: DaemonMetrics,
  name: string,
  help: string,
  labelNames: readonly L[],
  read: () => Iterable<readonly [Readonly<Record<L, string>>, number]>,
): void {
  new Gauge({
    ...{ name, help, labelNames, registers: [registry] },
    collect() {
      this.reset();
      for (const [labels, value] of read()) this.set(labels, value);
    },
  });
}

/** The newest of something that is read elsewhere, which may be slow or away: then the last one serves. */
export class Newest<T> {
  readonly #read: () => Promise<T>;
  readonly #patienceMs: number;
  #value: T | undefined;
  #reading: Promise<void> | undefined;

  constructor(read: () => Promise<T>, patienceMs: number) {
    this.#read = read;
    this.#patienceMs = patienceMs;
  }

  async value(): Promise<T | undefined> {
    this.#reading ??= this.#read()
      .then(
        (value) => {
          this.#value = value;
        },
        () => undefined,
      )
      .finally(() => {
        this.#reading = undefined;
      });
    await Promise.race([this.#reading, sleep(this.#patienceMs, undefined, { ref: false })]);
    return this.#value;
  }
}
