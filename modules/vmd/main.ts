/** vmd: runs virtual machines. Flags: `--accel auto|kvm|tcg`, `--vm-user UID` (0: vmd's own user). */
import { readFile } from 'node:fs/promises';
import { provision } from '../../provision/interface.ts';
import { runDaemon } from '../zbus/daemon.ts';
import { measuredMachines, registerMachineCount } from './drivers/measured.ts';
import { openQemu } from './drivers/qemu.ts';
import { vmd, vmdInventory } from './interface.ts';
import { vmdInventoryService } from './inventory.ts';
import type { MachineContext } from './machine.ts';
import { Machines } from './machines.ts';
import { probeKvm } from './qemu/kvm.ts';
import { vmdService } from './service.ts';

const DECOMMISSION_DEADLINE_MS = 180_000;

await runDaemon({
  name: 'vmd',
  module: 'vmd',
  options: ['accel', 'vm-user'],
  start: async ({ server, bus, log, metrics, state, options, signal }) => {
    const accelerator = await chooseAccelerator(options.accel ?? 'auto', state, signal);
    const user = await chooseUser(options['vm-user']);
    log.info({ accelerator, user }, 'virtual machines run with');
    const owner = bus.of(provision);
    const driver = await openQemu({
      stateDir: state,
      log,
      accelerator,
      user,
      gaveUp: (id, reason) =>
        owner.DecommissionCached({ id, reason }, { deadlineMs: DECOMMISSION_DEADLINE_MS, signal }),
    });
    const machines = await Machines.open({ driver: measuredMachines(metrics, driver), log });
    registerMachineCount(metrics, () => machines.list().length);
    server.serve(vmd, vmdService(machines, log));
    server.serve(vmdInventory, vmdInventoryService(machines));
    return () => machines.close();
  },
});

async function chooseAccelerator(wanted: string, stateDir: string, signal: AbortSignal): Promise<'kvm' | 'tcg'> {
  if (wanted === 'kvm' || wanted === 'tcg') return wanted;
  if (wanted !== 'auto') throw new Error(`vmd: --accel must be auto, kvm or tcg, not ${wanted}`);
  return (await probeKvm({ stateDir, signal })).works ? 'kvm' : 'tcg';
}

/** Root gives every machine a user of its own unless told otherwise; others cannot change theirs. */
async function chooseUser(wanted: string | undefined): Promise<MachineContext['user']> {
  if (wanted !== undefined && !/^\d{1,10}$/.test(wanted))
    throw new Error(`vmd: --vm-user must be a number, not ${wanted}`);
  if (process.getuid?.() !== 0 || wanted === '0') return 'same';
  if (wanted !== undefined) return Number(wanted);
  // A container's user namespace may not reach the range machines take their users from.
  const [, , count] = (await readFile('/proc/self/uid_map', 'utf8')).trim().split(/\s+/);
  return Number(count) > 0x7fff_ffff ? 'own' : 'same';
}
