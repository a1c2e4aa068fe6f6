import { expect, it } from 'vitest';
import { DaemonMetrics } from '../modules/zbus/telemetry/metrics.ts';
import { Observed } from './observed.ts';
import { MemoryJournal } from './store/memory.ts';
import { acceptance } from './testing/journal.ts';

it('counts an operation once when it ends, alone or with others', async () => {
  const metrics = new DaemonMetrics('provision');
  const journal = new Observed(metrics).journal(new MemoryJournal());
  const { id } = journal.accept(acceptance(1n));
  journal.pause(id, true, 'x');
  for (const one of journal.begin(id)) journal.end(id, 'done', '', one.id);
  journal.cancel(id, 'x');
  journal.begin(id);
  journal.end(id, 'queued', '');
  journal.begin(id);
  for (const name of ['net1', 'vm1']) journal.release(id, name);
  journal.tombstone(id);
  const page = await metrics.registry.metrics();
  const counted = page.split('\n').filter((line) => line.startsWith('provision_operations_ended_total{'));
  expect(counted.map((line) => line.replace(/^[^{]*/, '')).sort()).toEqual([
    '{kind="cancel",state="done"} 1',
    '{kind="create",state="done"} 1',
    '{kind="pause",state="done"} 1',
  ]);
});
