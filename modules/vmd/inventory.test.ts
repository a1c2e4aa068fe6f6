/** What vmd says of machines on the host, and how it removes what it has no record of: a real QEMU. */
import { spawn } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { machineConfig } from './config.ts';
import type { MachineDriver } from './drivers/driver.ts';
import { openQemu } from './drivers/qemu.ts';
import { vmdInventoryService } from './inventory.ts';
import { Machines } from './machines.ts';
import { Paths } from './paths.ts';
import { leftovers } from './testing/leftovers.ts';
import { canRunMachines, makeRig, type Rig, testVM, until } from './testing/rig.ts';

const context = { signal: new AbortController().signal, trace: '' };
const log = pino({ level: 'silent' });

describe.skipIf(!canRunMachines)('the inventory of machines', { timeout: 180_000 }, () => {
  let rig: Rig;
  let machines: Machines;
  let handlers: ReturnType<typeof vmdInventoryService>;
  const openDriver = (): Promise<MachineDriver> =>
    openQemu({ stateDir: rig.state, log, accelerator: 'tcg', user: 'own', gaveUp: () => Promise.resolve() });
  const open = async (): Promise<void> => {
    machines = await Machines.open({ driver: await openDriver(), log });
    handlers = vmdInventoryService(machines);
  };
  const list = async (): Promise<string[]> =>
    (await handlers.Owned({}, context))
      .map((one) => `${one.Kind} ${one.Name} ${one.Owner} ${one.Residue ? 'residue' : ''}`.trim())
      .sort();
  const remove = async (kind: string, name: string): Promise<void> =>
    handlers.Remove({ kind, name, owner: '' }, context);
  const run = async (name: string): Promise<void> => {
    const root = await rig.root(name, 'while :; do sleep 1; done');
    await machines.run(machineConfig(testVM(rig, name, root)));
  };

  beforeAll(async () => {
    rig = await makeRig();
    await open();
  }, 120_000);
  afterAll(async () => {
    await machines?.close();
    await rig?.close();
  }, 120_000);

  it('finds a machine whose record is lost, with all its parts, and ends it; others go on', async () => {
    const paths = new Paths(rig.state);
    await run('7-1-vm');
    await run('7-9-vm');
    expect(await list()).toEqual(['machine 7-1-vm 7-1-vm', 'machine 7-9-vm 7-9-vm']);
    // vmd dies, and its record with it: the machine runs on and nobody knows.
    await machines.close();
    const { id, record } = paths.of('7-9-vm');
    await rm(record);
    const driver = await openDriver();
    const parts = (await driver.items()).filter(({ name }) => name === id);
    expect(new Set(parts.map(({ machine, residue }) => `${machine} ${residue}`))).toEqual(new Set(['7-9-vm false']));
    expect(parts.map(({ kind }) => kind)).toEqual(expect.arrayContaining(['process', 'run-folder', 'share-lock']));
    await driver.removeItem('process', id);
    expect((await driver.items()).filter(({ machine }) => machine === '7-9-vm')).toMatchObject([
      { kind: 'console-log' },
    ]);
    await open();
    await remove('console-log', '7-9-vm');
    expect(await list()).toEqual(['machine 7-1-vm 7-1-vm']);
    const left = await leftovers(rig.state);
    expect(left.filter((line) => line.includes(id) || line.includes('7-9-vm'))).toEqual([]);
    expect(machines.find('7-1-vm')).toBeDefined();
    await remove('machine', '7-1-vm');
    expect(await leftovers(rig.state)).toEqual([]);
  });

  it('finds what is left of machines, tells whose by the name in the folder, and removes it', async () => {
    const paths = new Paths(rig.state);
    const { id, runtime, consoleLog, processLog } = paths.of('7-9-gone');
    await mkdir(runtime, { recursive: true });
    await writeFile(join(runtime, 'machine'), '7-9-gone\n');
    await mkdir(paths.logs, { recursive: true });
    for (const file of [consoleLog, `${consoleLog}.0`, processLog]) await writeFile(file, 'abc');
    const nameless = paths.of('8-8-vm').id;
    await mkdir(join(paths.runtimes, nameless));
    const sleeper = spawn('perl', ['-e', 'sleep 60', join(runtime, 'con.out')], { stdio: 'ignore' });
    const ended = new Promise((resolve) => sleeper.once('exit', resolve));
    await until('the process is seen', async () => (await list()).some((one) => one.startsWith('process')), 20_000);
    expect(await list()).toEqual(
      [
        'console-log 7-9-gone 7-9-gone',
        `process ${id} 7-9-gone`,
        `run-folder ${id} 7-9-gone`,
        `run-folder ${nameless}  residue`,
      ].sort(),
    );
    const [logs] = (await handlers.Owned({}, context)).filter(({ Kind }) => Kind === 'console-log');
    expect(logs).toMatchObject({ Bytes: 9 });
    await remove('process', id);
    await ended;
    await remove('run-folder', nameless);
    await remove('console-log', '7-9-gone');
    expect(await list()).toEqual([]);
    expect(await leftovers(rig.state)).toEqual([]);
    await expect(remove('disk', 'x')).rejects.toThrow(/kind/);
    await expect(remove('run-folder', '../x')).rejects.toThrow(/name/);
  });
});
