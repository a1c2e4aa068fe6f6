/** Twins from the node's chain module on the bus. */
import type { chain } from '../../modules/api-gateway/interface.ts';
import type { Client } from '../../modules/zbus/definition.ts';
import { parseRelayDomains, type TwinSource } from './twins.ts';

const LOOKUP_DEADLINE_MS = 10_000;

/** Asks the chain each time; put a `TwinCache` in front. */
export function busTwins(client: Pick<Client<typeof chain>, 'Twin'>): TwinSource {
  return {
    async twin(id) {
      const facts = await client.Twin({ id }, { deadlineMs: LOOKUP_DEADLINE_MS });
      if (!facts.Found) return undefined;
      return {
        id: facts.TwinID,
        account: facts.Account,
        relay: parseRelayDomains(facts.Relay),
        encryptionKey: facts.EncryptionKey === null || facts.EncryptionKey.length === 0 ? null : facts.EncryptionKey,
      };
    },
  };
}
