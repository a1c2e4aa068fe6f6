/** The units of a simulated node: redis, its chain, and the node itself in one process. */
import { join } from 'node:path';
import type { NodeConfig, SimulatedConfig } from './config.ts';
import { keyPath } from './keys.ts';
import { checkout, type Layout } from './layout.ts';
import { answersTest, compileCache, gatewayOptions, redisUnit, type UnitFile, words } from './unit-file.ts';

export function simulatedUnits(
  layout: Layout,
  config: NodeConfig,
  simulated: SimulatedConfig,
): Record<string, UnitFile> {
  const { state, broker } = layout;
  const { cru, mru, sru, hru, delayMs, fail, httpPort, webPort } = simulated;
  const [chain = ''] = config.chain;
  const [relay = ''] = config.relay;
  const env = { NODE_COMPILE_CACHE: compileCache, NODE_OPTIONS: gatewayOptions };
  const process_ = (file: string, ...flags: readonly string[]): string =>
    words(
      ...[process.execPath, join(checkout, file), '--state', state, '--broker', broker],
      ...['--log-level', config.logLevel, '--key-file', keyPath(layout, 'node')],
      ...['--relay-domain', config.relayDomain],
      ...['--cru', `${cru}`, '--mru', `${mru}`, '--sru', `${sru}`, '--hru', `${hru}`],
      ...flags,
    );
  return {
    redis: redisUnit(layout),
    // No unit waits for another: each loads at once and waits for its peers on the bus.
    chain: {
      exec: process_(
        'simulation/chain/main.ts',
        ...['--listen', new URL(chain).host, '--relay', relay],
        ...['--http', `http://${config.address}:${httpPort}`, '--web', `${config.address}:${webPort}`],
      ),
      test: answersTest(layout, 'api-gateway'),
      env,
    },
    node: {
      exec: process_(
        'simulation/node/main.ts',
        ...['--relay', new URL(relay).host, '--http', `${config.address}:${httpPort}`],
        ...['--delay-ms', `${delayMs}`, ...fail.flatMap((pattern) => ['--fail', pattern])],
        ...(config.adminTwins.length === 0 ? [] : ['--admin-twins', config.adminTwins.join(',')]),
      ),
      test: answersTest(layout, 'rmb-gateway'),
      env,
      shutdown_timeout: 20,
    },
  };
}
