/** What a running node holds for nobody, as provisiond found when it last compared the host with its journal. */
import { ZbusClient } from '../../modules/zbus/client.ts';
import type { Infer } from '../../modules/zbus/wire.ts';
import { type Leaks, reconciler } from '../../provision/interface.ts';
import type { Layout } from '../node/layout.ts';
import { size } from '../table.ts';
import type { Finding } from './checks.ts';

const DEADLINE_MS = 5_000;
const CHECK = 'leaks';

type Kinds = Infer<typeof Leaks>['Kinds'];

export async function checkLeaks(layout: Layout): Promise<Finding[]> {
  const bus = new ZbusClient({ broker: layout.broker });
  try {
    return findings(await bus.of(reconciler).Leaks({}, { deadlineMs: DEADLINE_MS }));
  } catch (error) {
    const found = `provisiond does not tell: ${(error as Error).message}`;
    return [{ check: CHECK, state: 'warn', found, remedy: 'see: gridnode status' }];
  } finally {
    await bus.close();
  }
}

/** Something left over, something unknown, something missing: each is told with its kinds. */
export function findings({
  Runs,
  Kinds: kinds,
  Away: away,
  Error: error,
  RepairsInAll: repairs,
}: Infer<typeof Leaks>): Finding[] {
  const warn = (found: string, remedy: string): Finding => ({ check: CHECK, state: 'warn', found, remedy });
  const [kept, unknown, missing] = [
    told(kinds, 'Kept', 'KeptBytes'),
    told(kinds, 'Unknown', 'UnknownBytes'),
    told(kinds, 'Missing'),
  ];
  const taps = repairs.get('tap') ?? 0;
  const found = [
    ...(error === '' ? [] : [warn(`not compared: ${error}`, 'see: gridnode logs provisiond')]),
    ...(away.length === 0 ? [] : [warn(`no answer from ${away.join(', ')}`, 'see: gridnode status')]),
    ...(kept === ''
      ? []
      : [warn(`left over: ${kept}`, 'removed after ten minutes; why it stays: gridnode logs provisiond')]),
    ...(unknown === ''
      ? []
      : [
          warn(
            `not in the journal: ${unknown}`,
            'left alone, a damaged record may own it; names: gridnode logs provisiond',
          ),
        ]),
    ...(missing === ''
      ? []
      : [warn(`missing: ${missing}`, 'made again where no data is lost: gridnode logs provisiond')]),
    // The kernel gives the new one to nobody who has the old one open.
    ...(taps === 0
      ? []
      : [
          warn(
            `taps that vanished since the start and were made again: ${taps}`,
            'a machine that ran has no network before it is started anew: end its qemu process, vmd starts it again; which: gridnode logs provisiond',
          ),
        ]),
  ];
  if (found.length > 0) return found;
  const ok = Runs === 0 ? 'not compared yet' : 'nothing is left over on the host';
  return [{ check: CHECK, state: 'ok', found: ok, remedy: '' }];
}

type Counted = 'Kept' | 'Unknown' | 'Missing';

/** As `2 disk, 1 volume (3.0 GiB)`; empty where there is none. */
function told(kinds: Kinds, count: Counted, bytes?: 'KeptBytes' | 'UnknownBytes'): string {
  const some = kinds.filter((one) => one[count] > 0);
  if (some.length === 0) return '';
  const total = bytes === undefined ? 0 : some.reduce((sum, one) => sum + one[bytes], 0);
  const list = some.map((one) => `${one[count]} ${one.Kind}`).join(', ');
  return total === 0 ? list : `${list} (${size(total)})`;
}
