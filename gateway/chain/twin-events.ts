/** Twins that change on the chain: told with numbers, so that a listener knows when it has missed some. */
import type { TwinEvent as TwinEventType } from '../../modules/api-gateway/interface.ts';
import type { Infer } from '../../modules/zbus/wire.ts';
import type { ChainBlock, ChainClient, ChainEvent } from './client.ts';
import { records } from './records.ts';

export type TwinEvent = Infer<typeof TwinEventType>;

/** Ids of twins that a block made, changed or removed. A listener reads the twin anew, so early is good. */
function idsOf({ events }: ChainBlock): number[] {
  return events.flatMap((event) => idOf(event) ?? []);
}

function idOf({ pallet, name, data }: ChainEvent): number | undefined {
  if (pallet !== 'tfgridModule') return undefined;
  if (name === 'TwinStored' || name === 'TwinUpdated') return records.twin.parse(data[0]).id;
  return name === 'TwinDeleted' ? records.id.parse(data[0]) : undefined;
}

/**
 * Twins that changed, numbered, and something with every block. After blocks
 * that were not read a number is left out.
 */
export async function* changedTwins(client: ChainClient, signal: AbortSignal): AsyncGenerator<TwinEvent> {
  const Generation = Date.now();
  let Sequence = 0;
  for await (const block of client.blocks('best', signal)) {
    if (block.gap) Sequence += 1;
    const ids = idsOf(block);
    for (const TwinID of ids.length === 0 ? [0] : ids) {
      Sequence += 1;
      yield { TwinID, BlockNumber: block.number, Generation, Sequence };
    }
  }
}
