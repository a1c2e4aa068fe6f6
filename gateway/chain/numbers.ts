/** How the chain is heard, as numbers read when somebody asks. */
import { Counter, Gauge, type Registry } from '../../modules/zbus/telemetry/prometheus.ts';
import type { EndpointState } from './endpoints.ts';

export interface WatchedConnection {
  readonly isConnected: boolean;
  readonly states: readonly EndpointState[];
  onConnected(listener: () => void): unknown;
  onLost(listener: () => void): unknown;
}

export function registerChainNumbers(registry: Registry, connection: WatchedConnection): void {
  const registers = [registry];
  const changes = new Counter({
    name: 'chain_connections_total',
    help: 'How often the chain was reached and lost since the start; many of both mean a bad line or endpoint',
    labelNames: ['event'],
    registers,
  });
  connection.onConnected(() => changes.inc({ event: 'reached' }));
  connection.onLost(() => changes.inc({ event: 'lost' }));
  new Gauge({
    name: 'chain_connected',
    help: '1 while the chain can be asked; without it the node serves what it knew last',
    registers,
    collect() {
      this.set(connection.isConnected ? 1 : 0);
    },
  });
  const endpoints = (name: string, help: string, read: (one: EndpointState, best: number) => number): void => {
    new Gauge({
      ...{ name, help, labelNames: ['endpoint'], registers },
      collect() {
        this.reset();
        const { states } = connection;
        const best = Math.max(0, ...states.map(({ final }) => final));
        for (const one of states) this.set({ endpoint: hostOf(one.url) }, read(one, best));
      },
    });
  };
  endpoints('chain_endpoint_in_use', '1 for the endpoint of the chain that the node asks', ({ inUse }) =>
    inUse ? 1 : 0,
  );
  endpoints(
    'chain_endpoint_usable',
    '0 for an endpoint that was left: silent, behind, pruned or of another chain',
    ({ problem }) => (problem === undefined ? 1 : 0),
  );
  endpoints(
    'chain_endpoint_final_block',
    'Newest final block that an endpoint told of; 0 when it never did',
    ({ final }) => final,
  );
  endpoints(
    'chain_endpoint_lag_blocks',
    'How many final blocks an endpoint is behind the best one',
    ({ final }, best) => best - final,
  );
}

/** A path or a query may hold a key. */
function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : 'unknown';
}
