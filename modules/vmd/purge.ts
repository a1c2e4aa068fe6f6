/** Kills and removes every machine of a state folder. Run: `node modules/vmd/purge.ts --state DIR`. */
import { rm } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { MachineGroups } from './cgroup.ts';
import { Paths } from './paths.ts';
import { bootId } from './processes.ts';
import { sharesOf } from './qemu/arguments.ts';
import { readRecords } from './record.ts';
import { endProcesses, removeRuntime } from './shutdown.ts';

/**
 * Ends the recorded processes (those whose pid and start time still match)
 * and removes vmd's folders and control groups. Returns the machines' names.
 */
export async function purge(stateDir: string): Promise<string[]> {
  const paths = new Paths(stateDir);
  const groups = await MachineGroups.open(paths.group);
  const boot = await bootId();
  const records = await readRecords(paths.records, () => undefined);
  for (const record of records) {
    const { name } = record.config;
    const own = paths.of(name);
    if (record.bootId === boot) await endProcesses(name, record.processes);
    const locks = sharesOf(record.config).map((_, index) => paths.shareLock(own.shareSocket(index)));
    await removeRuntime(own.runtime, locks);
  }
  for (const id of await groups.list()) await groups.remove(id);
  await groups.close();
  await rm(paths.runtimes, { recursive: true, force: true });
  await rm(paths.root, { recursive: true, force: true });
  return records.map((record) => record.config.name);
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { state: { type: 'string' } } });
  if (values.state === undefined) throw new Error('purge.ts: --state DIR is required');
  for (const name of await purge(values.state)) process.stdout.write(`${name}\n`);
}
