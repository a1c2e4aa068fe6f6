/** What nodes say of themselves over RMB, remembered for moments: many clients ask, few things change. */
import { z } from 'zod';
import type { RmbClient } from '../../../rmb/client.ts';
import type { NodeValue } from '../description/grid-types.ts';

/** Clients of the grid proxy wait 5 s for an answer that needs this one. */
const ASK_DEADLINE_MS = 3000;
/** Use changes with every deployment; what a machine is made of does not. */
const STATISTICS_LIFETIME_MS = 2000;
const FACTS_LIFETIME_MS = 30_000;
/** A node that has just started checks its health some seconds later, and clients look for healthy ones. */
const UNCHECKED_LIFETIME_MS = 1000;
/** A node that is down would otherwise hold up every list. */
const SILENCE_LIFETIME_MS = 5000;

const size = z.number().nonnegative();
const Resources = z.object({ cru: size, sru: size, hru: size, mru: size, ipv4u: size });
const Statistics = z.looseObject({
  total: Resources,
  used: Resources,
  system: Resources,
  users: z.looseObject({ deployments: size, workloads: size, last_deployment_timestamp: size.optional() }),
});
const Gpu = z.object({
  id: z.string(),
  vendor: z.string(),
  device: z.string(),
  vram: size.optional(),
  contract: size,
});
const Property = z.looseObject({ value: z.string() });
const Dmi = z.looseObject({
  sections: z.array(
    z.looseObject({
      typestr: z.string().default(''),
      subsections: z
        .array(z.looseObject({ title: z.string(), properties: z.record(z.string(), Property).nullish() }))
        .nullish(),
    }),
  ),
});
const Healthcheck = z.looseObject({ result: z.record(z.string(), z.array(z.string()).nullable()) });
const Benchmark = z.looseObject({
  result: z.object({ single: size, multi: size, threads: size, workloads: size }),
});

export interface NodeFacts {
  readonly features: readonly string[];
  readonly gpus: readonly z.output<typeof Gpu>[];
  readonly dmi: z.output<typeof Dmi> | undefined;
  readonly hasIpv6: boolean;
  /** Its last health check found nothing wrong; false where it made none. */
  readonly healthy: boolean;
  /** Whether it made one. */
  readonly checked: boolean;
  readonly benchmark: z.output<typeof Benchmark>['result'] | undefined;
}

export interface NodeAnswers {
  readonly statistics: z.output<typeof Statistics>;
  readonly facts: NodeFacts;
  /** Seconds since 1970 of the newest answer. */
  readonly at: number;
}

type Asker = Pick<RmbClient, 'callJson'>;

interface Kept<T> {
  readonly value: Promise<T | undefined>;
  /** Milliseconds since 1970; for ever while the answer is awaited. */
  until: number;
}

export class NodeQuestions {
  readonly #client: Asker;
  readonly #statistics = new Map<number, Kept<{ value: z.output<typeof Statistics>; at: number }>>();
  readonly #facts = new Map<number, Kept<NodeFacts>>();

  constructor(client: Asker) {
    this.#client = client;
  }

  /** Undefined where the node does not answer within 3 s. */
  async of({ twin_id: twin }: Pick<NodeValue, 'twin_id'>): Promise<NodeAnswers | undefined> {
    const [statistics, facts] = await Promise.all([
      kept(
        this.#statistics,
        twin,
        () => STATISTICS_LIFETIME_MS,
        async () => ({
          value: await this.#ask(twin, 'zos.statistics.get', Statistics),
          at: Math.floor(Date.now() / 1000),
        }),
      ),
      kept(
        this.#facts,
        twin,
        ({ checked }) => (checked ? FACTS_LIFETIME_MS : UNCHECKED_LIFETIME_MS),
        () => this.#askFacts(twin),
      ),
    ]);
    if (statistics === undefined || facts === undefined) return undefined;
    return { statistics: statistics.value, facts, at: statistics.at };
  }

  async #askFacts(twin: number): Promise<NodeFacts> {
    const features = await this.#ask(twin, 'zos.system.node_features_get', z.array(z.string()));
    // The rest is answered with an error where a node has nothing to tell.
    const [gpus, dmi, hasIpv6, health, benchmark] = await Promise.all([
      this.#try(twin, 'zos.gpu.list', z.array(Gpu).nullable()),
      this.#try(twin, 'zos.system.dmi', Dmi),
      this.#try(twin, 'zos.network.has_ipv6', z.boolean()),
      this.#try(twin, 'zos.perf.get', Healthcheck, { name: 'healthcheck' }),
      this.#try(twin, 'zos.perf.get', Benchmark, { name: 'cpu-benchmark' }),
    ]);
    return {
      features,
      gpus: gpus ?? [],
      dmi,
      hasIpv6: hasIpv6 ?? false,
      checked: health !== undefined,
      healthy: health !== undefined && Object.values(health.result).every((found) => (found ?? []).length === 0),
      benchmark: benchmark?.result,
    };
  }

  #ask<T>(twin: number, command: string, output: { parse(value: unknown): T }, argument?: unknown): Promise<T> {
    return this.#client.callJson({ twin, command, argument, output, deadlineMs: ASK_DEADLINE_MS, failFast: true });
  }

  #try<T>(
    twin: number,
    command: string,
    output: { parse(value: unknown): T },
    argument?: unknown,
  ): Promise<T | undefined> {
    return this.#ask(twin, command, output, argument).catch(() => undefined);
  }
}

/** A value is kept for a while, silence for a shorter one; askers meanwhile share the question. */
function kept<T>(
  all: Map<number, Kept<T>>,
  twin: number,
  lifetimeMs: (value: T) => number,
  ask: () => Promise<T>,
): Promise<T | undefined> {
  const known = all.get(twin);
  if (known !== undefined && Date.now() < known.until) return known.value;
  const value = ask().then(
    (answer) => {
      entry.until = Date.now() + lifetimeMs(answer);
      return answer;
    },
    () => {
      entry.until = Date.now() + SILENCE_LIFETIME_MS;
      return undefined;
    },
  );
  const entry: Kept<T> = { value, until: Number.POSITIVE_INFINITY };
  all.set(twin, entry);
  return value;
}
