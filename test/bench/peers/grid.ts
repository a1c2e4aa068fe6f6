/** What the gateway needs on the bus: who twins are, and a pool to ask about. `node grid.ts BROKER KEYTYPE`. */
import { once } from 'node:events';
import type { KeyType } from '../../../gateway/rmb/keys.ts';
import { chain } from '../../../modules/api-gateway/interface.ts';
import { storage } from '../../../modules/storaged/interface.ts';
import type { InterfaceDefinition, Service } from '../../../modules/zbus/definition.ts';
import { ZbusServer } from '../../../modules/zbus/server.ts';
import { NODE, twinsOf } from './twins.ts';

const [, , broker = '', keyType] = process.argv;
const twins = await twinsOf(keyType as KeyType);

/** Nothing happens on this chain. */
async function* quiet(signal: AbortSignal): AsyncGenerator<never> {
  await once(signal, 'abort');
  yield* [];
}

const chainService: Pick<Service<typeof chain>, 'Node' | 'Twin'> = {
  Node: () => ({ NodeID: 1, TwinID: NODE, FarmID: 1, FarmerTwinID: NODE, BlockNumber: 1, AgeSeconds: 0 }),
  Twin: async ({ id }) => {
    const found = await twins.twin(id);
    return {
      Found: found !== undefined,
      TwinID: id,
      Account: found?.account ?? new Uint8Array(32),
      Relay: found?.relay.join('_') ?? '',
      EncryptionKey: found?.encryptionKey ?? null,
      BlockNumber: 1,
      AgeSeconds: 0,
    };
  },
};
const storageService: Pick<Service<typeof storage>, 'Metrics'> = {
  Metrics: () => [{ Name: 'pool', Type: 'ssd', Size: 2 ** 40, Used: 2 ** 30 }],
};

/** Whatever else an interface has is refused: the gateway does not ask for it here. */
function withRefusals(definition: InterfaceDefinition, served: object): never {
  const refuse = (): Promise<never> => Promise.reject(new Error('not served here'));
  const methods = Object.keys(definition.methods).map((name) => [name, refuse]);
  const streams = Object.keys(definition.streams).map((name) => [`${name}$`, quiet]);
  return { ...Object.fromEntries([...methods, ...streams]), ...served } as never;
}

for (const [module, definition, service] of [
  ['api-gateway', chain, chainService],
  ['storage', storage, storageService],
] as const) {
  const server = new ZbusServer({ module, broker });
  server.serve(definition, withRefusals(definition, service));
  await server.start();
}
process.stdout.write('{"msg":"ready"}\n');
