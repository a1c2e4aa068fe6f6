/** The Go SDK's peer, unmodified: against our chain, through our relay, as client of our gateway and as node for our client. */

import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { RmbClient } from '../../../gateway/rmb/index.ts';
import { startRedis } from '../../../modules/zbus/testing/redis.ts';
import { buildGoPrograms, hasGo } from './build.ts';
import { DOMAIN, Grid, type Member } from './grid.ts';
import { type GoOutcome, GoProgram } from './programs.ts';

const DEADLINE = { timeout: 180_000 };
const PARALLEL = 200;
const MiB = 1024 * 1024;
const COMPRESSED_POINT = 33;
const KINDS = [
  ['ed25519', false],
  ['ed25519', true],
  ['sr25519', false],
  ['sr25519', true],
] as const;

let grid: Grid;
const ends: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  if (!hasGo) return;
  grid = await Grid.start();
  await buildGoPrograms(grid.folder);
}, 540_000);

afterAll(async () => {
  await grid?.close();
}, 60_000);

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function go(
  name: 'peer' | 'client',
  member: Member,
  { session, plain = false }: { readonly session?: string | undefined; readonly plain?: boolean } = {},
): Promise<GoProgram> {
  const args = ['--relay', `ws://${DOMAIN}`, '--chain', grid.chain.url, '--key-file', member.keyFile];
  if (session !== undefined) args.push('--session', session);
  if (plain) args.push('--plain');
  if (process.env.TEST_LOG !== undefined) args.push('--log-level', process.env.TEST_LOG);
  return await start(name, args, grid.front.proxy);
}

async function start(name: string, args: readonly string[], proxy?: string): Promise<GoProgram> {
  const program = await GoProgram.start({ file: join(grid.folder, name), args, ...(proxy && { proxy }) });
  ends.push(() => program.stop());
  return program;
}

async function ours(member: Member, session?: string): Promise<RmbClient> {
  const { id, identity } = member;
  const twins = { twin: (twin: number) => grid.reader.twin(twin) };
  const client = new RmbClient({ relays: [grid.front.relay], identity, twinId: id, session, twins });
  ends.push(() => client.close());
  await client.connect({ deadlineMs: 30_000 });
  return client;
}

describe.skipIf(!hasGo)('the Go client and our gateway', () => {
  it.each(KINDS)('%s, plain: %s: stores itself on the chain, then calls', DEADLINE, async (keyType, plain) => {
    const member = await grid.member(keyType);
    const session = plain ? undefined : `go-${keyType}`;
    const client = await go('client', member, { plain, session });

    const stored = await grid.reader.twin(member.id);
    expect(stored?.relayText).toBe(DOMAIN);
    expect(stored?.encryptionKey?.length).toBe(plain ? undefined : COMPRESSED_POINT);

    expect(await client.call({ twin: grid.node, command: 'zos.system.version' })).toEqual({
      result: { zos: expect.stringMatching(/^\d+\.\d+\.\d+/), zinit: expect.any(String) },
    });
    expect(await client.call({ twin: grid.node, command: 'zos.statistics.get' })).toEqual({
      result: {
        total: expect.objectContaining({ cru: expect.any(Number), sru: 100 * 1024 ** 3 }),
        used: expect.objectContaining({ hru: 0 }),
        system: expect.objectContaining({ mru: expect.any(Number) }),
        users: { deployments: 0, workloads: 0, last_deployment_timestamp: 0 },
        open_connections: expect.any(Number),
      },
    });
    expect(await client.call({ twin: grid.node, command: 'zos.deployment.list' })).toEqual({ result: [] });
    expect(await client.call({ twin: grid.node, command: 'zos.nothing' })).toEqual({ error: 'function is not found' });
    expect(await client.call({ twin: grid.node, command: 'zos.deployment.get', payload: { contract_id: 5 } })).toEqual({
      error: expect.stringContaining('deployment not found'),
    });

    const large = await client.call({
      twin: grid.node,
      command: 'zos.deployment.deploy',
      payload: { description: 'z'.repeat(MiB) },
    });
    expect(large).toEqual({ error: expect.stringMatching(/\S/) });

    const calls = Array.from({ length: PARALLEL }, () =>
      client.call({ twin: grid.node, command: 'zos.system.version', deadlineMs: 60_000 }),
    );
    const outcomes = await Promise.all(calls);
    expect(outcomes.filter((outcome) => 'error' in outcome)).toEqual([]);
  });

  it('is understood when it starts again without a key, and with one', DEADLINE, async () => {
    const member = await grid.member('ed25519');
    for (const plain of [false, true, false]) {
      const client = await go('client', member, { plain, session: 'again' });
      const stored = await grid.reader.twin(member.id);
      expect(stored?.encryptionKey?.length).toBe(plain ? undefined : COMPRESSED_POINT);
      // The gateway hears of the change from the chain, and may answer once as it was.
      const ask = (): Promise<GoOutcome> => client.call({ twin: grid.node, command: 'zos.system.version' });
      const version = { result: expect.objectContaining({ zos: expect.any(String) }) };
      await expect.poll(ask, { timeout: 60_000 }).toEqual(version);
      await client.stop();
    }
  });

  it('has a deadline, whoever does not answer', DEADLINE, async () => {
    const client = await go('client', await grid.member('ed25519'));
    const absent = await grid.member('sr25519', { known: true });
    const ask = (twin: number, deadlineMs: number): Promise<GoOutcome> =>
      client.call({ twin, command: 'zos.system.version', deadlineMs });
    expect(await ask(absent.id, 2500)).toEqual({ error: 'context deadline exceeded' });
    // The library writes whole seconds: below one a request has ended before it is sent.
    expect(await ask(absent.id, 400)).toEqual({ error: expect.stringMatching(/expired|deadline exceeded/) });
    expect(await ask(grid.node, 900)).toEqual({ error: expect.stringMatching(/0 s|expired|deadline exceeded/) });
    expect(await ask(4711, 20_000)).toEqual({ error: expect.stringContaining('twin not found') });
  });

  it('goes on when the relay was killed and is back', DEADLINE, async () => {
    const client = await go('client', await grid.member('sr25519'), { session: 'patient' });
    let answered = 0;
    const lane = async (): Promise<void> => {
      for (let call = 0; call < 10; call += 1) {
        for (;;) {
          const outcome = await client.call({ twin: grid.node, command: 'zos.system.version', deadlineMs: 4000 });
          if ('result' in outcome) break;
          expect(outcome.error).toMatch(/deadline exceeded|expired|connection timeout|clos|broken pipe|reset/);
          await sleep(200);
        }
        answered += 1;
        await sleep(20);
      }
    };
    const lanes = Array.from({ length: 8 }, lane);
    await expect.poll(() => answered, { timeout: 60_000 }).toBeGreaterThan(8);
    await grid.killRelay();
    await sleep(1000);
    await grid.startRelay();
    await Promise.all(lanes);
    expect(answered).toBe(80);
  });
});

const text = new TextDecoder();

describe.skipIf(!hasGo)('our client and the Go node', () => {
  it.each(KINDS)('%s, plain: %s', DEADLINE, async (keyType, plain) => {
    const node = await grid.member(keyType);
    await go('peer', node, { plain });
    const caller = await grid.member(keyType === 'ed25519' ? 'sr25519' : 'ed25519', { known: true });
    const client = await ours(caller, 'ours');
    const encrypt = plain ? 'when-possible' : 'always';
    const call = async (command: string, payload: unknown = null): Promise<unknown> => {
      const bytes = await client.call({
        twin: node.id,
        command,
        payload: JSON.stringify(payload),
        deadlineMs: 60_000,
        encrypt,
      });
      return JSON.parse(text.decode(bytes));
    };

    expect(await call('zos.system.version')).toEqual({ zos: '0.1.0', zinit: 'v0.1.0' });
    expect(await call('test.echo', { text: 'ünï', list: [1, null] })).toEqual({ text: 'ünï', list: [1, null] });
    expect(await call('test.caller')).toEqual({ twin: caller.id, session: 'ours', lifetime: 61 });
    expect(await call('test.nothing')).toBe(null);
    await expect(call('test.fail')).rejects.toThrow('this one always fails');
    await expect(call('test.panic')).rejects.toThrow('handler panicked with: out of cheese');
    await expect(call('closed.room')).rejects.toThrow(`twin ${caller.id} may not come in`);
    await expect(call('zos.nothing')).rejects.toThrow('function is not found');

    expect(await call('test.repeat', MiB)).toBe('x'.repeat(MiB));
    const large = 'y'.repeat(MiB);
    expect((await call('test.echo', large)) === large).toBe(true);

    const numbers = Array.from({ length: PARALLEL }, (_, index) => index);
    expect(await Promise.all(numbers.map((number) => call('test.echo', number)))).toEqual(numbers);
  });

  it('a session of the node, asked by both clients', DEADLINE, async () => {
    const node = await grid.member('sr25519');
    await go('peer', node, { session: 'calculator' });
    const client = await ours(await grid.member('ed25519', { known: true }));
    const bytes = await client.call({
      twin: node.id,
      session: 'calculator',
      command: 'test.caller',
      payload: 'null',
      deadlineMs: 30_000,
    });
    expect(JSON.parse(text.decode(bytes))).toMatchObject({ twin: client.twinId, session: null });

    const other = await go('client', await grid.member('sr25519'), { session: 'asker' });
    expect(await other.call({ twin: node.id, session: 'calculator', command: 'test.caller' })).toEqual({
      result: expect.objectContaining({ session: 'asker' }),
    });
  });
});

describe.skipIf(!hasGo)('programs with the Go SDK behind our stand-alone peer', () => {
  it('call other twins, and serve them', DEADLINE, async () => {
    const redis = await startRedis();
    ends.push(() => redis.stop());
    const member = await grid.member('sr25519', { known: true });
    ends.push(await grid.startPeer(member, redis, ['local.echo', 'local.fail', 'local.panic', 'local.gone']));
    const address = ['--redis', `unix://${redis.socket}`];
    await start('local', [...address, '--serve']);
    const local = await start('local', address);

    const node = grid.node;
    const version = { zos: expect.stringMatching(/^\d+\.\d+\.\d+/), zinit: expect.any(String) };
    expect(await local.call({ twin: node, command: 'zos.system.version' })).toEqual({ result: version });
    expect(await local.call({ twin: node, command: 'zos.nothing' })).toEqual({ error: '0 function is not found' });
    expect(await local.call({ twin: 4711, command: 'zos.system.version' })).toEqual({
      error: "103 unknown twin id '4711'",
    });
    const calls = Array.from({ length: 50 }, () => local.call({ twin: node, command: 'zos.system.version' }));
    expect((await Promise.all(calls)).filter((outcome) => 'error' in outcome)).toEqual([]);

    const remote = await go('client', await grid.member('ed25519'));
    const ask = (command: string, payload: unknown = null): Promise<GoOutcome> =>
      remote.call({ twin: member.id, command, payload });
    const number = 42;
    expect(await ask('local.echo', { number })).toEqual({ result: { twin: expect.any(Number), got: { number } } });
    expect(await ask('local.fail')).toEqual({ error: 'this one always fails' });
    expect(await ask('local.panic')).toEqual({ error: 'handler panicked with: out of cheese' });
    expect(await ask('local.nothing')).toEqual({ error: 'function is not found' });
    expect(await ask('rmb.version')).toEqual({ result: expect.stringMatching(/\d+\.\d+\.\d+/) });
  });
});
