/** An object whose calls take their time, and a process that serves it (`node worker.ts BROKER JOURNAL`). */
import { appendFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { defineInterface, type Service } from '../../../modules/zbus/definition.ts';
import { ZbusServer } from '../../../modules/zbus/server.ts';
import { count64, str } from '../../../modules/zbus/wire.ts';

const args = { id: str, key: str, ms: count64 };

export const worker = defineInterface({
  module: 'work',
  object: 'worker',
  version: '0.0.1',
  methods: {
    One: { args, returns: [str], fails: true, order: { by: 'key' } },
    All: { args, returns: [str], fails: true },
    Look: { args, returns: [str], fails: true, order: 'read' },
  },
  streams: {},
});

/** `runs` hears of each call that begins; what it throws ends the call. */
export function workerService(runs: (id: string) => void): Service<typeof worker> {
  const work = async ({ id, ms }: { id: string; ms: number }, { signal }: { signal: AbortSignal }): Promise<string> => {
    runs(id);
    await sleep(ms, undefined, { signal });
    return id;
  };
  return { One: work, All: work, Look: work };
}

const [, script, broker, journal] = process.argv;
if (script === import.meta.filename && broker !== undefined && journal !== undefined) {
  const server = new ZbusServer({ module: 'work', broker, concurrency: 2 });
  // What is written is there after a SIGKILL.
  server.serve(
    worker,
    workerService((id) => appendFileSync(journal, `${id}\n`)),
  );
  await server.start();
  process.stdout.write('ready\n');
}
