/**
 * From a signed `zos.deployment.deploy` on its way to the first user process of
 * its machine, stage by stage, on a whole node; beside the same QEMU with the
 * same memory, processors and disk but no network card, started by hand in the
 * same run.
 */
import { mkdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeSite } from '../../cli/demo/site.ts';
import { supervisorOf } from '../../cli/node/lifecycle.ts';
import { run } from '../../modules/host/run.ts';
import { machineConfig } from '../../modules/vmd/config.ts';
import { makeRig, type Rig, testVM } from '../../modules/vmd/testing/rig.ts';
import { MiB } from '../../schemas/index.ts';
import { type Hub, openHub } from '../system/hub.ts';
import { logLines } from '../system/node-log.ts';
import { diskWorkload, machineAddress, machineWorkload, networkWorkload, Tenant } from '../system/tenant.ts';
import type { TestNode } from '../system/test-node.ts';
import { appears, type Boot, bootByHand, median, processorMs, SCRIPT } from './peers/by-hand.ts';
import { withNode } from './peers/node.ts';

const ROUNDS = 3;
const DISK_BYTES = 128 * MiB;
const MEMORY_BYTES = 256 * MiB;

/** Milliseconds after the request was sent at which each stage was done. */
interface Deployed extends Record<(typeof stages)[number], number> {
  readonly qemu_cpu: number;
}
const stages = ['accepted', 'network', 'disk', 'image', 'machine', 'first_process'] as const;

export function bench(): Promise<{ name: string; metrics: Record<string, number> }> {
  return withNode({ accel: 'auto' }, async (node, closing) => {
    const rig = await makeRig();
    closing(() => rig.close());
    const tenant = await Tenant.open(node);
    const hub = await openHub(node);
    closing(() => hub.close());
    const accelerator = (await usesKvm(node)) ? 'kvm' : 'tcg';
    const deployed: Deployed[] = [];
    const byHand: Boot[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      // Whoever goes second finds warm caches, so they take turns.
      if (round % 2 === 1) byHand.push(await startByHand(rig, accelerator, round));
      deployed.push(await deploy(tenant, hub, round));
      if (round % 2 === 0) byHand.push(await startByHand(rig, accelerator, round));
    }
    const metrics: Record<string, number> = {};
    for (const stage of stages) metrics[`${stage}_ms`] = median(deployed.map((one) => one[stage]));
    const first = median(deployed.map((one) => one.first_process));
    const hand = median(byHand.map((one) => one.process));
    return {
      name: 'deployment',
      metrics: {
        ...metrics,
        by_hand_first_process_ms: hand,
        overhead_ms: first - hand,
        ratio: Math.round((first / hand) * 100) / 100,
        qemu_cpu_ms: median(deployed.map((one) => one.qemu_cpu)),
        by_hand_qemu_cpu_ms: median(byHand.map((one) => one.cpu)),
        kvm: accelerator === 'kvm' ? 1 : 0,
      },
    };
  });
}

async function deploy(tenant: Tenant, hub: Hub, round: number): Promise<Deployed> {
  const { node } = tenant;
  const { layout } = node;
  const flist = await hub.pack(`bench${round}`, async (folder) => {
    await writeSite(folder);
    await writeFile(join(folder, 'start.sh'), `#!/bin/sh\n# round ${round}\n${SCRIPT}\n`);
  });
  const [net, disk, vm] = [`net${round}`, `disk${round}`, `vm${round}`];
  const deployment = tenant.sign([
    networkWorkload(net, round),
    diskWorkload(disk, DISK_BYTES),
    machineWorkload(vm, { flist, network: net, address: machineAddress(round), disk, memory: MEMORY_BYTES }),
  ]);
  const contract = await tenant.contractFor(deployment);
  const supervisor = await supervisorOf(layout);
  const name = `${tenant.twin}-${contract}-${vm}`;
  const sentAt = Date.now();
  await tenant.send(deployment, contract);
  const accepted = Date.now() - sentAt;
  await appears(`/proc/${supervisor?.pid}/root${layout.state}/flistd/mnt/${name}/out`);
  const firstProcess = Date.now() - sentAt;
  await tenant.settled(contract);
  const qemuCpu = await processorMs(await qemuOf(node, name));
  const steps = (await logLines(layout, 'provisiond')).filter(
    (line) => line.deployment === `${tenant.twin}-${contract}` && line.state === 'done',
  );
  const doneAfter = (step: string): number => {
    const line = steps.find((one) => one.step === step);
    if (line === undefined) throw new Error(`no step ${step} in the log of provisiond`);
    return Number(line.at) - sentAt;
  };
  await tenant.cancel(contract);
  return {
    accepted,
    network: doneAfter('network'),
    disk: doneAfter('disk'),
    image: doneAfter('image'),
    machine: doneAfter('machine'),
    first_process: firstProcess,
    qemu_cpu: qemuCpu,
  };
}

async function qemuOf({ layout }: TestNode, name: string): Promise<number> {
  const record = JSON.parse(await readFile(join(layout.state, 'vmd/vms', `${name}.json`), 'utf8')) as {
    readonly processes: readonly { readonly role: string; readonly pid: number }[];
  };
  return record.processes.find(({ role }) => role === 'qemu')?.pid ?? 0;
}

async function usesKvm({ layout }: TestNode): Promise<boolean> {
  const probed = JSON.parse(await readFile(join(layout.state, 'vmd/kvm.json'), 'utf8').catch(() => '{}'));
  return (probed as { readonly works?: boolean }).works === true;
}

async function startByHand(rig: Rig, accelerator: 'kvm' | 'tcg', round: number): Promise<Boot> {
  const root = await rig.root(`hand${round}`, SCRIPT);
  await mkdir(join(root, 'data'), { recursive: true });
  const image = join(rig.state, `disk${round}`);
  await writeFile(image, '');
  await truncate(image, DISK_BYTES);
  await run('mkfs.btrfs', ['-q', image], { deadlineMs: 20_000 });
  const Disks = [{ Path: image, Target: '/data' }];
  return bootByHand(
    rig.state,
    machineConfig(testVM(rig, `hand${round}`, root, { Disks, Memory: MEMORY_BYTES })),
    accelerator,
  );
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(await bench())}\n`);
