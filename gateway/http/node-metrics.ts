/** The numbers of the whole node on one page: the gateway's own and what each module tells on the bus. */
import { Gauge, type Registry } from 'prom-client';
import type { ZbusClient } from '../../modules/zbus/client.ts';

/** Modules of a node; each is asked, and told as up or not. */
export const NODE_MODULES = ['provision', 'storage', 'network', 'flist', 'vmd', 'node', 'api-gateway'] as const;

/** Milliseconds that a module may take: one that is away holds up the page no longer. */
const MODULE_DEADLINE_MS = 1_500;
/** Milliseconds a page counts: however many ask, modules are asked once in this time. */
const PAGE_VALID_MS = 1_000;

export interface NodeMetricsOptions {
  readonly bus: Pick<ZbusClient, 'metrics'>;
  /** Of the gateway itself. */
  readonly registries: readonly Registry[];
  /** The gateway's own module, which is up when it can say so. */
  readonly module: string;
  readonly modules?: readonly string[];
}

export class NodeMetrics {
  readonly #options: NodeMetricsOptions;
  readonly #up: Gauge<'module'>;
  readonly #seconds: Gauge<'module'>;
  #page: Promise<string> = Promise.resolve('');
  #pageAt = Number.NEGATIVE_INFINITY;

  constructor(options: NodeMetricsOptions) {
    const registers = options.registries.slice(0, 1);
    this.#options = options;
    this.#up = new Gauge({
      name: 'gridnode_up',
      help: '1 where a part of the node answers, 0 where it is down, stuck or not started',
      labelNames: ['module'],
      registers,
    });
    this.#seconds = new Gauge({
      name: 'gridnode_scrape_seconds',
      help: 'How long a part of the node took to tell its numbers for this page',
      labelNames: ['module'],
      registers,
    });
  }

  /** The text format of Prometheus; never waits for a module beyond the deadline. */
  text(): Promise<string> {
    if (performance.now() - this.#pageAt < PAGE_VALID_MS) return this.#page;
    // Valid from when it is known; shared until then.
    this.#pageAt = Number.POSITIVE_INFINITY;
    this.#page = this.#collect().finally(() => {
      this.#pageAt = performance.now();
    });
    return this.#page;
  }

  async #collect(): Promise<string> {
    const { registries, module, modules = NODE_MODULES } = this.#options;
    const texts = await Promise.all(modules.map((name) => this.#ask(name)));
    this.#up.set({ module }, 1);
    const own = await Promise.all(registries.map((registry) => registry.metrics()));
    return mergedFamilies([...own, ...texts]);
  }

  async #ask(module: string): Promise<string> {
    const began = performance.now();
    try {
      const text = await this.#options.bus.metrics(module, { deadlineMs: MODULE_DEADLINE_MS });
      this.#up.set({ module }, 1);
      return text;
    } catch {
      this.#up.set({ module }, 0);
      return '';
    } finally {
      this.#seconds.set({ module }, (performance.now() - began) / 1000);
    }
  }
}

/** Pages as one, in which each family stands once with all its lines: the format allows no second beginning. */
export function mergedFamilies(pages: readonly string[]): string {
  const families = new Map<string, { head: string[]; lines: string[] }>();
  for (const page of pages) {
    let family = { head: [] as string[], lines: [] as string[] };
    for (const line of page.split('\n')) {
      const [, kind, name] = /^# (HELP|TYPE) (\S+)/.exec(line) ?? [];
      if (name === undefined) {
        if (line !== '' && !line.startsWith('#')) family.lines.push(line);
        continue;
      }
      const known = families.get(name);
      family = known ?? { head: [], lines: [] };
      if (known === undefined) families.set(name, family);
      if (!family.head.some((one) => one.startsWith(`# ${kind} `))) family.head.push(line);
    }
  }
  return [...families.values()]
    .filter(({ lines }) => lines.length > 0)
    .map(({ head, lines }) => `${[...head, ...lines].join('\n')}\n`)
    .join('\n');
}
