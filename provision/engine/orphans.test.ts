import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { silentLog } from '../../modules/zbus/broker.ts';
import { MemoryJournal } from '../store/memory.ts';
import { SqliteJournal } from '../store/sqlite.ts';
import { full, tenant } from '../testing/engine.ts';
import { engineWorld } from '../testing/engine-world.ts';
import type { TestHost } from '../testing/host.ts';
import { removeOrphans } from './orphans.ts';

const world = engineWorld();
const { startEngine, accept } = world;
let host: TestHost;

beforeEach(() => {
  ({ host } = world);
});

describe('orphans', () => {
  const signal = new AbortController().signal;

  it('are removed and counted, what is owned or not ours stays', async () => {
    const journal = new MemoryJournal();
    const engine = startEngine(journal);
    engine.submit((await accept(journal, full())).id);
    for (const contract of [5n, 98n, 99n]) {
      engine.submit((await accept(journal, tenant.deployment(contract, []))).id);
      engine.cancel(`7-${contract}`, 'x');
    }
    await engine.idle();
    const owned = host.resources;
    host.volumes.set('rootfs:7-99-gone', 1).set('zos-cache', 1).set('someone elses', 1);
    host.mounts.set('7-99-gone', 'x');
    host.disks.set('7-5-old', { size: 1, formatted: false });
    host.machines.set('7-99-gone', {});
    host.networks.set('7-98-net', 'abc');
    const count = await removeOrphans(journal, host.daemons, silentLog, signal);
    expect(count).toMatchObject({ removed: 4 });
    expect(host.resources).toEqual([...owned, 'volume someone elses', 'volume zos-cache'].sort());
  });

  it('are left alone by every journal that never knew them, however often it starts', async () => {
    host.disks.set('8-5-old', { size: 1, formatted: false });
    const path = join(world.folder, 'lost', 'journal.sqlite');
    for (let start = 0; start < 3; start++) {
      const journal = new SqliteJournal(path);
      const count = await removeOrphans(journal, host.daemons, silentLog, signal);
      expect(count).toEqual({ found: [{ kind: 'disk', name: '8-5-old' }], removed: 0 });
      journal.close();
    }
    expect(host.disks.size).toBe(1);
  });
});
