import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { type Caller, type Command, commands } from '../../schemas/index.ts';
import { DEFAULT_DOOR_LIMITS } from '../door/limits.ts';
import { publishedLimits } from '../door/published-limits.ts';
import { Dispatcher } from './dispatch.ts';
import type { Handler, Node } from './handler.ts';
import { callerOf, groupOf, rememberedFarmer } from './roles.ts';

const FARMER = 5;
const ADMIN = 6;
const STRANGER = 7;
const all: readonly Command[] = commands;

/** Every command of the schemas under every spelling, with a handler that says that it ran. */
function table(node: Partial<Node> = {}) {
  const ran: string[] = [];
  const done: string[] = [];
  const handlers = new Map<string, Handler>(
    all.flatMap((command) => {
      const run = async (): Promise<never> => {
        ran.push(command.name);
        throw new Error('ran');
      };
      // What comes in does not matter: whoever gets as far as the input was let in.
      return [command.name, ...(command.aliases ?? [])].map((name) => [name, { command, run }] as const);
    }),
  );
  const dispatcher = new Dispatcher({
    handlers,
    node: {
      chain: { Node: async () => ({ NodeID: 1, TwinID: 1, FarmID: 1, FarmerTwinID: FARMER }) },
      ...node,
    } as unknown as Node,
    limits: () =>
      publishedLimits(DEFAULT_DOOR_LIMITS, {
        requireEncryption: false,
        twinCacheMs: 0,
        commandDeadlineMs: 60_000,
        nowSeconds: 0,
      }),
    admins: () => new Set([ADMIN]),
    log: pino({ level: 'silent' }),
    onDone: (command) => done.push(command),
  });
  const answer = async (command: string, twin: number): Promise<string> => {
    const got = await dispatcher.answer({ command, payload: Buffer.from('{}'), twin });
    return got.kind === 'error' ? got.message : 'answered';
  };
  return { ran, done, answer };
}

const allowed: Record<Caller, readonly number[]> = {
  any: [FARMER, ADMIN, STRANGER],
  own: [FARMER, ADMIN, STRANGER],
  farmer: [FARMER],
  admin: [ADMIN],
};

describe('roles', () => {
  for (const command of all) {
    for (const name of [command.name, ...(command.aliases ?? [])]) {
      it(`${name} is open to ${command.caller === 'own' ? 'any twin for its own' : command.caller}, and nobody else`, async () => {
        for (const twin of [FARMER, ADMIN, STRANGER]) {
          const { ran, done, answer } = table();
          const text = await answer(name, twin);
          const isAllowed = allowed[command.caller].includes(twin);
          expect(text === 'unauthorized').toBe(!isAllowed);
          if (!isAllowed) expect(ran).toEqual([]);
          // Counted under one name, however it was spelled.
          expect(done).toEqual([command.name]);
        }
      });
    }
  }

  it('every command for some twins only is in a group that is closed to others', () => {
    const closed = all.filter(({ caller }) => caller === 'farmer' || caller === 'admin');
    expect(closed.length).toBeGreaterThan(7);
    for (const { name, aliases = [], caller } of closed) {
      for (const spelling of [name, ...aliases]) expect(groupOf(spelling)).toBe(caller);
    }
    for (const { name } of all) expect(callerOf(name, undefined)).toBe(groupOf(name) ?? 'any');
    expect(all.filter(({ name, caller }) => groupOf(name) !== undefined && groupOf(name) !== caller)).toEqual([]);
  });

  it('tells a stranger nothing of what a closed group has', async () => {
    const { answer } = table();
    for (const name of [
      'zos.admin',
      'zos.admin.nothing',
      'zos.admin.interfaces.more',
      'zos.network.admin.set_public_nic2',
      'zos.debug',
      'zos.debug.deployment',
      'zos.debug.provision.list',
    ]) {
      expect(await answer(name, STRANGER)).toBe('unauthorized');
    }
    expect(await answer('zos.admin.nothing', FARMER)).toBe('function is not found');
    expect(await answer('zos.debug.provision.list', ADMIN)).toBe('function is not found');
    expect(await answer('zos.debug.deployment.list', FARMER)).toBe('unauthorized');
    for (const name of ['zos.administrator', 'zos.debugger.x', 'zos.networks.admin.x', '', 'zos', 'zos..admin.x']) {
      expect(await answer(name, STRANGER)).toBe('function is not found');
    }
  });

  it('asks the chain for the farmer once, and again after a failure', async () => {
    let asked = 0;
    let now = 0;
    let fails = true;
    const farmer = rememberedFarmer(
      async () => {
        asked += 1;
        if (fails) throw new Error('no connection');
        return FARMER;
      },
      () => now,
    );
    const first = [farmer(), farmer(), farmer()];
    for (const one of await Promise.allSettled(first)) expect(one.status).toBe('rejected');
    await expect(farmer()).rejects.toThrow('no connection');
    expect(asked).toBe(1);
    fails = false;
    now += 2_000;
    expect(await Promise.all([farmer(), farmer()])).toEqual([FARMER, FARMER]);
    now += 20_000;
    await farmer();
    expect(asked).toBe(2);
    now += 20_000;
    await farmer();
    expect(asked).toBe(3);
  });

  it('lets nobody in as farmer while the chain does not say who that is', async () => {
    const { answer, ran } = table({
      chain: {
        Node: async () => {
          throw new Error('no connection');
        },
      } as unknown as Node['chain'],
    });
    expect(await answer('zos.admin.interfaces', FARMER)).toContain('no connection');
    expect(await answer('zos.system.version', FARMER)).toContain('ran');
    expect(ran).toEqual(['zos.system.version']);
  });
});
