/**
 * What is done to a node while it is hit: lives of deployments, in phases. The node is at rest between
 * two phases and all promises are looked at, so each phase of a life can be hit once.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  but,
  changedOnce,
  changedTwice,
  fifth,
  first,
  fourth,
  ground,
  guest,
  heir,
  paused,
  precious,
  second,
  third,
  type Wanted,
  withPeer,
} from './deployments.ts';
import type { Fault } from './faults.ts';
import { type Promised, settle } from './promises.ts';
import { decommission, deploy } from './tenants.ts';
import type { World } from './world.ts';

export interface Phase {
  readonly name: string;
  /** Faults that are what it does itself. */
  readonly without?: readonly Fault[];
  /** Those after it need not have it. */
  readonly isOptional?: true;
  /** It only leads to those after it, and is not hit. */
  readonly isQuiet?: true;
  readonly run: (world: World) => Promise<void>;
}

export interface Life {
  readonly name: string;
  readonly phases: readonly Phase[];
}

const running = first.promised;

/** Asks for it and waits until it is so. */
async function come(world: World, ...all: readonly Wanted[]): Promise<void> {
  for (const { deployment } of all) await deploy(world, deployment);
  const last = new Map(all.map(({ promised }) => [promised.contract, promised]));
  await settle(world, [...last.values()]);
}

const create: Phase = {
  name: 'create',
  run: async (world) => {
    await world.start();
    await come(world, first);
    for (const call of precious) world.forbidden.add(call);
  },
};

/** Gives up a contract, and waits until only the promised is left. */
function cancel(contract: bigint, ...left: readonly Promised[]): Phase {
  return {
    name: 'cancel',
    run: async (world) => {
      world.forbidden.clear();
      world.chain.turn(contract, 'deleted');
      await settle(world, left);
    },
  };
}

function update(name: string, ...versions: readonly Wanted[]): Phase {
  return { name, run: (world) => come(world, ...versions) };
}

/** The orchestrator is killed; that it comes back is hit again: it dies in the midst of its start. */
function restart(...promised: readonly Promised[]): Phase {
  return {
    name: 'restart',
    isOptional: true,
    run: async (world) => {
      world.killProvisiond();
      await settle(world, promised);
    },
  };
}

function power(...promised: readonly Promised[]): Phase {
  return {
    name: 'power',
    isOptional: true,
    run: async (world) => {
      world.losePower();
      await settle(world, promised);
    },
  };
}

const pauseAndGoOn: Phase = {
  name: 'pause and go on',
  isOptional: true,
  without: ['grace'],
  run: async (world) => {
    world.chain.turn(1n, 'grace');
    await settle(world, [paused(running)]);
    world.chain.turn(1n, 'created');
    await settle(world, [running]);
  },
};

export const lives: readonly Life[] = [
  {
    name: 'machine',
    phases: [
      create,
      pauseAndGoOn,
      restart(running),
      update('update', second),
      update('update that removes', third),
      // The next version comes while the one before is under way.
      update('overtaken update', fourth, fifth),
      power(fifth.promised),
      {
        name: 'decommission',
        run: async (world) => {
          world.forbidden.delete(precious[0] ?? '');
          await decommission(world, '7-1-vm1');
          await settle(world, [but(fifth.promised, { vm1: 'deleted' })]);
        },
      },
      cancel(1n),
    ],
  },
  {
    name: 'machine with its own kernel',
    phases: [
      {
        ...create,
        run: async (world) => {
          const boot = join(world.folder, 'tree', 'boot');
          mkdirSync(boot);
          for (const file of ['vmlinuz', 'initrd.img']) writeFileSync(join(boot, file), file);
          await create.run(world);
        },
      },
      update('network change', withPeer),
      // What the first one changes is under way when the second changes it, too.
      update('superseded update', changedOnce, changedTwice),
      cancel(1n),
    ],
  },
  {
    name: 'paused machine',
    phases: [
      { ...create, isQuiet: true },
      {
        name: 'pause',
        isQuiet: true,
        run: async (world) => {
          world.chain.turn(1n, 'grace');
          await settle(world, [paused(running)]);
        },
      },
      { ...restart(paused(running)), without: ['grace'] },
      { ...cancel(1n), without: ['grace'] },
    ],
  },
  {
    // The contract goes before the deployment is made.
    name: 'cancelled creation',
    phases: [
      {
        name: 'create and cancel',
        run: async (world) => {
          await world.start();
          await deploy(world, first.deployment);
          await sleep(4);
          world.chain.turn(1n, 'deleted');
          await settle(world, []);
        },
      },
    ],
  },
  {
    name: 'two deployments',
    phases: [
      {
        name: 'create both',
        run: async (world) => {
          await world.start();
          await come(world, ground, guest);
        },
      },
      restart(ground.promised, guest.promised),
      {
        name: 'create while another is deleted',
        run: async (world) => {
          world.chain.turn(2n, 'deleted');
          await deploy(world, heir.deployment);
          await settle(world, [ground.promised, heir.promised]);
        },
      },
      { ...cancel(3n, ground.promised), name: 'cancel one' },
      { ...cancel(1n), name: 'cancel the other' },
    ],
  },
];

/** Gives up everything; then nothing may be left. */
export async function end(world: World): Promise<void> {
  world.forbidden.clear();
  world.chain.cancelAll();
  await settle(world, []);
}
