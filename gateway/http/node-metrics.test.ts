import { Counter, Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import { ZbusClient } from '../../modules/zbus/client.ts';
import { ZbusServer } from '../../modules/zbus/server.ts';
import { DaemonMetrics } from '../../modules/zbus/telemetry/metrics.ts';
import { startRedis } from '../../modules/zbus/testing/redis.ts';
import { mergedFamilies, NodeMetrics } from './node-metrics.ts';
import { readExposition } from './testing/exposition.ts';

const silent = { metrics: () => Promise.reject(new Error('away')) };

describe('the numbers of the whole node', () => {
  it('has each family once, with the lines of every module', () => {
    const one = '# HELP calls_total Calls\n# TYPE calls_total counter\ncalls_total{module="a"} 1\n';
    const two = '# HELP calls_total Calls\n# TYPE calls_total counter\ncalls_total{module="b"} 2\n';
    const empty = '# HELP none_total None\n# TYPE none_total counter\n';
    const page = mergedFamilies([one, two, empty]);
    expect(page).toBe(
      '# HELP calls_total Calls\n# TYPE calls_total counter\ncalls_total{module="a"} 1\ncalls_total{module="b"} 2\n',
    );
    expect(readExposition(page).get('calls_total')?.samples).toHaveLength(2);
  });

  it('tells a module that is away as down, without waiting for it for long, and asks once for all who ask at once', async () => {
    let asked = 0;
    let given = 0;
    const bus = {
      metrics: (module: string, { deadlineMs = 60_000 } = {}) => {
        asked += 1;
        given = deadlineMs;
        if (module === 'gone') return new Promise<string>((_, no) => setTimeout(() => no(new Error()), deadlineMs));
        return Promise.resolve('# HELP x_total X\n# TYPE x_total counter\nx_total{module="here"} 7\n');
      },
    };
    const registry = new Registry();
    const numbers = new NodeMetrics({ bus, registries: [registry], module: 'own', modules: ['here', 'gone'] });
    const [page, same] = await Promise.all([numbers.text(), numbers.text()]);
    expect(given).toBeLessThanOrEqual(2_000);
    expect(same).toBe(page);
    expect(asked).toBe(2);
    for (const line of ['gridnode_up{module="here"} 1', 'gridnode_up{module="gone"} 0', 'gridnode_up{module="own"} 1'])
      expect(page).toContain(`\n${line}\n`);
    expect(page).toContain('\nx_total{module="here"} 7\n');
  });

  it('keeps its own numbers where nobody answers', async () => {
    const registry = new Registry();
    new Counter({ name: 'own_total', help: 'own', registers: [registry] }).inc(3);
    const page = await new NodeMetrics({ bus: silent, registries: [registry], module: 'own' }).text();
    expect(page).toContain('\nown_total 3\n');
    expect(page).toContain('gridnode_up{module="provision"} 0\n');
  });

  it('reads them of a module that works on as many calls as it may', async () => {
    const redis = await startRedis();
    const metrics = new DaemonMetrics('busy');
    const server = new ZbusServer({ module: 'busy', broker: redis.broker, metrics: () => metrics.registry.metrics() });
    metrics.watchServing(() => ({ waiting: 5, running: 64 }));
    const bus = new ZbusClient({ broker: redis.broker });
    try {
      await server.start();
      const page = await bus.metrics('busy');
      expect(readExposition(page).get('zbus_server_calls_waiting')?.samples).toEqual([
        { name: 'zbus_server_calls_waiting', labels: { module: 'busy' }, value: 5 },
      ]);
      await expect(bus.metrics('absent', { deadlineMs: 300 })).rejects.toThrow('absent status');
    } finally {
      await bus.close();
      await server.stop();
      await redis.stop();
    }
  });
});

describe('reading the text format strictly', () => {
  it.each([
    ['a line of no family', 'x_total 1\n'],
    ['a family twice', '# HELP x X\n# TYPE x gauge\nx 1\n# HELP x X\n# TYPE x gauge\nx 2\n'],
    ['the same line twice', '# HELP x X\n# TYPE x gauge\nx{a="1"} 1\nx{a="1"} 2\n'],
    ['no help', '# TYPE x gauge\nx 1\n'],
    ['a counter that is not called total', '# HELP x X\n# TYPE x counter\nx 1\n'],
    [
      'a histogram without its last bucket',
      '# HELP x_s X\n# TYPE x_s histogram\nx_s_bucket{le="1"} 1\nx_s_sum 1\nx_s_count 1\n',
    ],
    [
      'buckets that shrink',
      '# HELP x_s X\n# TYPE x_s histogram\nx_s_bucket{le="1"} 2\nx_s_bucket{le="+Inf"} 1\nx_s_sum 1\nx_s_count 1\n',
    ],
    ['no number', '# HELP x X\n# TYPE x gauge\nx one\n'],
    ['an open label', '# HELP x X\n# TYPE x gauge\nx{a="1} 1\n'],
  ])('refuses %s', (_, page) => {
    expect(() => readExposition(page)).toThrow();
  });
});
