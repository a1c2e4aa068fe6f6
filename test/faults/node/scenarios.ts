/** What is done to a node while it is hit. */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  at,
  diskWorkload,
  machineWorkload,
  networkWorkload,
  volumeWorkload,
} from '../../../provision/testing/tenant.ts';
import type { Deployment, Workload } from '../../../schemas/deployment.ts';
import type { Fault } from './faults.ts';
import { type Promised, settle } from './promises.ts';
import { decommission, deploy } from './tenants.ts';
import { tenant, type World } from './world.ts';

const GIB = 1024 ** 3;

export interface Stage {
  readonly world: World;
  /** From here on faults strike; until they are over when `work` is. */
  readonly hit: (work: () => Promise<void>) => Promise<void>;
  readonly settle: (...promised: Promised[]) => Promise<void>;
}

export interface Scenario {
  readonly name: string;
  /** Faults that are what it does itself. */
  readonly without?: readonly Fault[];
  readonly run: (stage: Stage) => Promise<void>;
}

function network(name: string): Workload {
  const workload = networkWorkload(name, 4127);
  const data = JSON.parse(workload.data) as object;
  return {
    ...workload,
    data: JSON.stringify({ ...data, wireguard_private_key: Buffer.alloc(32, 1).toString('base64') }),
  };
}

function deployment(contract: bigint, workloads: Workload[], version = 0): Deployment {
  return tenant.deployment(contract, workloads, version);
}

const machine = machineWorkload('vm1', { mounts: ['disk1', 'vol1'] });
const net = network('net1');
const disk = diskWorkload('disk1', GIB);
const volume = volumeWorkload('vol1', GIB);
const first = deployment(1n, [machine, net, disk, volume]);
const ok = { vm1: 'ok', net1: 'ok', disk1: 'ok', vol1: 'ok' } as const;
const running: Promised = { contract: 1n, version: 0, states: ok };
/** What no change of the host may take from the first deployment while it is wanted. */
const precious = [
  'storaged deleteVolume rootfs:7-1-vm1',
  'storaged deleteDisk 7-1-disk1',
  'storaged deleteVolume 7-1-vol1',
];

/** Grows a disk and a volume, adds a disk and a machine, removes nothing. */
const second = deployment(
  1n,
  [
    machine,
    net,
    at(1, diskWorkload('disk1', 2 * GIB)),
    at(1, volumeWorkload('vol1', 2 * GIB)),
    at(1, diskWorkload('disk2', GIB)),
    at(1, machineWorkload('vm2', { mounts: ['disk2'], ip: '10.1.2.6' })),
  ],
  1,
);
/** Removes the second machine and its disk, adds one in their place. */
const third = deployment(
  1n,
  [
    machine,
    net,
    at(1, diskWorkload('disk1', 2 * GIB)),
    at(2, volumeWorkload('vol1', GIB)),
    at(2, diskWorkload('disk3', GIB)),
  ],
  2,
);
const grown: Promised = { contract: 1n, version: 1, states: { ...ok, disk2: 'ok', vm2: 'ok' } };
const shrunk: Promised = { contract: 1n, version: 2, states: { ...ok, disk3: 'ok' } };

async function begin({ world, settle: rest }: Stage): Promise<void> {
  await world.start();
  await deploy(world, first);
  await rest(running);
  for (const call of precious) world.forbidden.add(call);
}

async function cancel(stage: Stage, contract = 1n): Promise<void> {
  stage.world.forbidden.clear();
  stage.world.chain.turn(contract, 'deleted');
  await stage.settle();
}

export const scenarios: readonly Scenario[] = [
  {
    name: 'create',
    run: async (stage) => {
      await stage.hit(async () => {
        await stage.world.start();
        await deploy(stage.world, first);
        await stage.settle(running);
      });
      await cancel(stage);
    },
  },
  {
    name: 'cancel',
    run: async (stage) => {
      await begin(stage);
      await stage.hit(() => cancel(stage));
    },
  },
  {
    name: 'update',
    run: async (stage) => {
      await begin(stage);
      await stage.hit(async () => {
        await deploy(stage.world, second);
        await stage.settle(grown);
      });
      await cancel(stage);
    },
  },
  {
    name: 'updates',
    run: async (stage) => {
      await begin(stage);
      await deploy(stage.world, second);
      await stage.settle(grown);
      await stage.hit(async () => {
        await deploy(stage.world, third);
        await stage.settle(shrunk);
      });
      await cancel(stage);
    },
  },
  {
    // The next version comes while the one before is under way.
    name: 'overtaken update',
    run: async (stage) => {
      await begin(stage);
      await stage.hit(async () => {
        await deploy(stage.world, second);
        await deploy(stage.world, third);
        await stage.settle(shrunk);
      });
      await cancel(stage);
    },
  },
  {
    name: 'pause',
    without: ['grace'],
    run: async (stage) => {
      await begin(stage);
      const { chain } = stage.world;
      await stage.hit(async () => {
        chain.turn(1n, 'grace');
        await stage.settle({ ...running, states: { vm1: 'paused', net1: 'paused', disk1: 'paused', vol1: 'paused' } });
        chain.turn(1n, 'created');
        await stage.settle(running);
      });
      await cancel(stage);
    },
  },
  {
    name: 'decommission',
    run: async (stage) => {
      await begin(stage);
      stage.world.forbidden.delete(precious[0] ?? '');
      await stage.hit(async () => {
        await decommission(stage.world, '7-1-vm1');
        await stage.settle({ ...running, states: { ...ok, vm1: 'deleted' } });
      });
      await cancel(stage);
    },
  },
  {
    // The contract goes before the deployment is made.
    name: 'cancelled creation',
    run: async (stage) => {
      const { world } = stage;
      await stage.hit(async () => {
        await world.start();
        await deploy(world, first);
        await sleep(4);
        world.chain.turn(1n, 'deleted');
        await stage.settle();
      });
    },
  },
  {
    // The machine of one deployment lies on the network of the other.
    name: 'two deployments',
    run: async (stage) => {
      const { world } = stage;
      await stage.hit(async () => {
        await world.start();
        await deploy(world, deployment(1n, [net, disk]));
        await deploy(world, deployment(2n, [machineWorkload('vm1', { mounts: ['disk1'] }), disk]));
        await stage.settle(
          { contract: 1n, version: 0, states: { net1: 'ok', disk1: 'ok' } },
          { contract: 2n, version: 0, states: { vm1: 'ok', disk1: 'ok' } },
        );
      });
      world.chain.turn(2n, 'deleted');
      await stage.settle({ contract: 1n, version: 0, states: { net1: 'ok', disk1: 'ok' } });
      await cancel(stage);
    },
  },
  {
    name: 'start',
    run: async (stage) => {
      await begin(stage);
      await stage.hit(async () => {
        stage.world.killProvisiond();
        await stage.settle(running);
      });
      await cancel(stage);
    },
  },
  {
    name: 'power',
    run: async (stage) => {
      await begin(stage);
      await stage.hit(async () => {
        stage.world.losePower();
        await stage.settle(running);
      });
      await cancel(stage);
    },
  },
];

/** Runs a scenario on a world of its own. Throws what did not hold. */
export async function play(scenario: Scenario, world: World): Promise<void> {
  const { faults } = world;
  await scenario.run({
    world,
    hit: async (work) => {
      faults.isArmed = true;
      await work();
      faults.isArmed = false;
    },
    settle: (...promised) => settle(world, promised),
  });
  if (world.broken.length > 0) throw new Error(world.broken.join('\n'));
}
