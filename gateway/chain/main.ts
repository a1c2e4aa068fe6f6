/**
 * The process `chaind`, bus module `api-gateway`: `--chain URL[,URL] [--genesis HASH]` and one of
 * `--key-file FILE`, `--key-env NAME`, `--key-fd NUMBER`.
 */
import { join } from 'node:path';
import { chain, substrateGateway } from '../../modules/api-gateway/interface.ts';
import { defineDaemon, runDaemon } from '../../modules/zbus/daemon.ts';
import { finishStartup } from '../../modules/zbus/startup.ts';
import { identityOptions, readIdentity, refuseSecretArguments } from '../rmb/identity-source.ts';
import { chainService } from './chain-service.ts';
import { ChainClient, type ChainClientOptions } from './client.ts';
import { gatewayService } from './gateway-service.ts';
import { LastKnown } from './last-known.ts';
import { redirectLibraryLog } from './library-log.ts';
import { NodeMembership } from './membership.ts';
import { registerChainNumbers } from './numbers.ts';
import type { EndpointNews } from './provider.ts';
import { ChainStore } from './store.ts';
import type { EnsuredTwin } from './twin-update.ts';

/** `open` gives the connection to the chain, which ends with the daemon. */
export function chainDaemon(open = (options: ChainClientOptions): ChainClient => new ChainClient(options)) {
  return defineDaemon({
    name: 'chaind',
    module: 'api-gateway',
    options: ['chain', ...identityOptions, 'genesis'],
    start: async ({ server, log, metrics, root, options }) => {
      const endpoints = (options.chain ?? '').split(',').filter((url) => /^wss?:\/\/./.test(url));
      if (endpoints.length === 0) throw new Error('chaind: --chain ws://HOST:PORT[,…] is required');
      redirectLibraryLog((line) => log.debug({ library: line }, 'chain library'));

      const identity = await readIdentity(options);
      const genesis = options.genesis === undefined ? {} : { genesis: options.genesis };
      const store = new ChainStore(join(root, 'chain.sqlite'), (what, error) =>
        log.error({ err: error }, `could not ${what}`),
      );
      const onEndpoint = ({ endpoint, what, problem, reason }: EndpointNews): void =>
        log[what === 'used' ? 'info' : 'warn']({ endpoint, problem, reason }, `endpoint of the chain ${what}`);
      const client = open({ endpoints, identity, onEndpoint, ...genesis });
      registerChainNumbers(metrics.registry, client.connection);
      client.connection.onConnected(() => {
        const found = client.connection.genesis;
        if (found !== undefined && !store.belongTo(found)) {
          log.warn({ genesis: found }, 'what was kept is of another chain and forgotten');
        }
        // The library came after the process was ready.
        finishStartup();
      });
      const views = new LastKnown(store, client.connection);
      const say = (level: 'info' | 'warn', text: string): void => log[level](text);
      const membership = new NodeMembership(client, identity.publicKey);
      const { encryptionKey } = identity;
      const onEnsured = ({ twin, done, before }: EnsuredTwin): void => {
        const was = before === undefined ? {} : { before: before.relays };
        if (done !== 'nothing')
          log.info({ twin: twin.id, relays: twin.relays, ...was }, `own twin ${done} on the chain`);
      };
      server.serve(chain, chainService({ client, membership, store, views, encryptionKey, onEnsured, say }));
      server.serve(substrateGateway, gatewayService({ client, membership, views }));
      return async () => {
        await client.close();
        store.close();
      };
    },
  });
}

if (import.meta.main) {
  refuseSecretArguments(process.argv.slice(2), ['genesis']);
  await runDaemon(chainDaemon());
}
