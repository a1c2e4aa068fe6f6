/** Twins from the node's chain module on the bus, and what is told of their changes. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { chain, TwinEvent } from '../../modules/api-gateway/interface.ts';
import type { Client } from '../../modules/zbus/definition.ts';
import type { Infer } from '../../modules/zbus/wire.ts';
import { parseRelayDomains, type TwinSource } from './twins.ts';

const LOOKUP_DEADLINE_MS = 10_000;
const PAUSE_MS = 2000;

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

export interface TwinListener {
  /** One twin changed. */
  readonly forget: (id: number) => void;
  /** Some may have changed unseen. */
  readonly forgetAll: () => void;
  readonly onInterrupted?: (reason: string) => void;
}

/** Tells a cache which twins change, until the signal aborts; a stream of events that ends is opened anew. */
export async function followTwins(
  open: (signal: AbortSignal) => AsyncIterable<Infer<typeof TwinEvent>>,
  listener: TwinListener,
  signal: AbortSignal,
): Promise<void> {
  let last = { Generation: 0, Sequence: 0 };
  while (!signal.aborted) {
    try {
      for await (const event of open(signal)) {
        if (event.Generation !== last.Generation || event.Sequence !== last.Sequence + 1) listener.forgetAll();
        else if (event.TwinID !== 0) listener.forget(event.TwinID);
        last = event;
      }
    } catch (error) {
      if (!signal.aborted) listener.onInterrupted?.((error as Error).message);
    }
    await sleep(PAUSE_MS, undefined, { signal }).catch(() => undefined);
  }
}
