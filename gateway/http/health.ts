/** Whether the gateway can do its work: a relay to be asked through, a twin that leads there, and a bus to ask the node's modules on. */
import type { ZbusClient } from '../../modules/zbus/client.ts';

const BUS_DEADLINE_MS = 2000;
/** Milliseconds an answer of the bus counts: however many ask, it is asked once in this time. */
const BUS_ANSWER_VALID_MS = 1000;

export interface Problem {
  readonly part: 'startup' | 'relay' | 'twin' | 'bus';
  readonly reason: string;
}

export interface HealthOptions {
  readonly bus: ZbusClient;
  /** A module that must answer its status, as the gateway's own. */
  readonly module: string;
  /** Undefined while the gateway waits for the node to be on the chain. */
  readonly relayConnected: () => boolean | undefined;
  /** What the chain says of the gateway's twin that is not so. */
  readonly twinProblems?: () => readonly Problem[];
}

export class Health {
  readonly #options: HealthOptions;
  #busAsked = Number.NEGATIVE_INFINITY;
  #busAnswer: Promise<Problem | undefined> = Promise.resolve(undefined);

  constructor(options: HealthOptions) {
    this.#options = options;
  }

  /** What is wrong; empty when nothing is. */
  async problems(): Promise<Problem[]> {
    const connected = this.#options.relayConnected();
    const problems: Problem[] = [];
    if (connected === undefined) problems.push({ part: 'startup', reason: 'waiting for the node to be on the chain' });
    else if (!connected) problems.push({ part: 'relay', reason: 'no relay is connected' });
    problems.push(...(this.#options.twinProblems?.() ?? []));
    const bus = await this.#askBus();
    return bus === undefined ? problems : [...problems, bus];
  }

  #askBus(): Promise<Problem | undefined> {
    if (performance.now() - this.#busAsked < BUS_ANSWER_VALID_MS) return this.#busAnswer;
    // Valid from when it is known; shared until then.
    this.#busAsked = Number.POSITIVE_INFINITY;
    this.#busAnswer = this.#options.bus
      .status(this.#options.module, { deadlineMs: BUS_DEADLINE_MS })
      .then(
        () => undefined,
        (error: Error): Problem => ({ part: 'bus', reason: error.message }),
      )
      .finally(() => {
        this.#busAsked = performance.now();
      });
    return this.#busAnswer;
  }
}
