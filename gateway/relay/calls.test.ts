import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { GridError } from '../../schemas/errors/index.ts';
import { RmbError } from '../rmb/errors.ts';
import type { KeyType } from '../rmb/keys.ts';
import { World } from './testing/world.ts';

let world: World;
beforeAll(async () => {
  world = await World.start();
});
afterEach(() => world.closeClients());
afterAll(() => world.stop());

/** No two cases have a twin in common. */
let twins = 98;

const PATIENCE = { timeout: 20_000 };

/** Messages that the relay has put into queues. */
async function queued(): Promise<number> {
  const metrics = await (await fetch(`http://127.0.0.1:${world.port}/metrics`)).text();
  return Number(/relay_message_queued_total (\d+)/.exec(metrics)?.[1]);
}

/** The relay is away during `work`, and back after it, whatever came of it. */
async function withoutRelay<T>(work: () => Promise<T>): Promise<T> {
  await world.relay.close();
  try {
    return await work();
  } finally {
    world.relay = world.newRelay();
    await world.relay.listen('127.0.0.1', world.port);
  }
}

const parse = (bytes: Uint8Array): unknown => JSON.parse(Buffer.from(bytes).toString('utf8'));

async function pair(options: { user?: KeyType; node?: KeyType; encrypted?: boolean; nodeEncrypted?: boolean } = {}) {
  twins += 2;
  const user = await world.chain.add(twins, options.user ?? 'sr25519', { encrypted: options.encrypted ?? true });
  const node = await world.chain.add(twins + 1, options.node ?? 'ed25519', {
    encrypted: options.nodeEncrypted ?? options.encrypted ?? true,
  });
  const caller = world.client(user, { session: 'cli' });
  const server = world.client(node);
  world.serve(server, node);
  await Promise.all([caller.connect(), server.connect()]);
  return { caller, server, node, from: user.id, to: node.id };
}

describe('a call through the relay', () => {
  for (const user of ['sr25519', 'ed25519'] as const) {
    for (const node of ['sr25519', 'ed25519'] as const) {
      for (const encrypted of [true, false]) {
        it(`goes from ${user} to ${node}, ${encrypted ? 'encrypted' : 'plain'}`, async () => {
          const { caller, from, to } = await pair({ user, node, encrypted });
          const answer = await caller.call({ twin: to, command: 'zos.x', payload: '{"a":1}', deadlineMs: 20_000 });
          expect(parse(answer)).toEqual({ echo: 'zos.x', twin: from, encrypted, got: '{"a":1}' });
        });
      }
    }
  }

  it('answers many side by side, each its own', async () => {
    const { caller, to } = await pair();
    const calls = Array.from({ length: 30 }, (_, index) =>
      caller.call({ twin: to, command: `zos.n${index}`, payload: `${index}`, deadlineMs: 20_000 }),
    );
    const answers = (await Promise.all(calls)).map(parse) as { echo: string; got: string }[];
    expect(answers.map(({ echo, got }) => `${echo} ${got}`)).toEqual(calls.map((_, index) => `zos.n${index} ${index}`));
  });

  it('stays plain when told to or when one side has no key, and says so when it must not', async () => {
    const { caller, to } = await pair({ encrypted: true, nodeEncrypted: false });
    const call = { twin: to, command: 'zos.x', payload: '', deadlineMs: 20_000 } as const;
    expect(parse(await caller.call({ ...call, encrypt: 'when-possible' }))).toMatchObject({ encrypted: false });
    expect(parse(await caller.call({ ...call, encrypt: 'never' }))).toMatchObject({ encrypted: false, got: '' });
    await expect(caller.call({ ...call, encrypt: 'always' })).rejects.toMatchObject({ kind: 'no-encryption' });
  });

  it('carries a large payload', async () => {
    const { caller, to } = await pair();
    const payload = 'x'.repeat(1_000_000);
    const answer = parse(await caller.call({ twin: to, command: 'zos.x', payload, deadlineMs: 20_000 }));
    expect((answer as { got: string }).got.length).toBe(1_000_000);
  });

  it('says that an answer is too large for relays, and keeps its line', async () => {
    const { caller, server, node, to } = await pair();
    server.serve(
      world.serve(server, node).handler(async () => ({ kind: 'response', payload: 'x'.repeat(17 * 1024 * 1024) })),
    );
    await expect(caller.call({ twin: to, command: 'zos.x', payload: 'null', deadlineMs: 20_000 })).rejects.toThrow(
      /the answer of 178\d+ bytes is larger than the 16777216 bytes that relays pass on/,
    );
    expect(server.connected).toBe(true);
  });

  it('brings a typed refusal back as one', async () => {
    const { caller, server, node, to } = await pair();
    const door = world.serve(server, node);
    server.serve(
      door.handler(async () => {
        throw new GridError('capacity_memory', {
          requested: 10,
          available: 5,
          total: 20,
          system: 5,
          committed: 5,
          pending: 5,
        });
      }),
    );
    const failure = await caller
      .call({ twin: to, command: 'zos.deployment.deploy', payload: '{}', deadlineMs: 20_000 })
      .catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(RmbError);
    expect(failure).toMatchObject({ kind: 'refused', code: 3000, refusal: { code: 'capacity_memory' } });
    expect((failure as RmbError).refusal?.details).toMatchObject({ requested: 10, available: 5 });
    server.serve(door.handler(() => Promise.reject(new Error('boom'))));
    await expect(caller.call({ twin: to, command: 'zos.y', payload: '', deadlineMs: 20_000 })).rejects.toMatchObject({
      kind: 'refused',
      code: 0,
      message: 'handler panicked with: boom',
    });
  });

  it('ends in time, when cancelled and when closed', async () => {
    const { caller, server, to } = await pair();
    server.serve(() => new Promise(() => undefined));
    const call = { twin: to, command: 'zos.x', payload: '', deadlineMs: 1500 } as const;
    await expect(caller.call(call)).rejects.toMatchObject({ kind: 'timeout' });
    const stop = new AbortController();
    const cancelled = caller.call({ ...call, deadlineMs: 20_000, signal: stop.signal });
    setTimeout(() => stop.abort(), 20);
    await expect(cancelled).rejects.toMatchObject({ kind: 'cancelled' });
    const open = caller.call({ ...call, deadlineMs: 20_000 });
    const closed = expect(open).rejects.toMatchObject({ kind: 'closed' });
    await caller.close();
    await closed;
    await expect(caller.call(call)).rejects.toMatchObject({ kind: 'closed' });
  });

  it('says what the relay said', async () => {
    const { caller } = await pair();
    await world.chain.add(30, 'ed25519', { relay: [] });
    await world.chain.add(31, 'ed25519', { relay: ['elsewhere.example'] });
    const call = (twin: number) => caller.call({ twin, command: 'zos.x', payload: '', deadlineMs: 20_000 });
    await expect(call(99)).rejects.toMatchObject({ kind: 'unknown-twin' });
    await expect(call(30)).rejects.toMatchObject({
      kind: 'relay-refused',
      message: 'relay info is not set for this twin',
    });
    await expect(call(31)).rejects.toMatchObject({ kind: 'relay-refused', code: 0 });
  });

  it('reaches a node that connects later', async () => {
    twins += 2;
    const user = await world.chain.add(twins, 'sr25519');
    const node = await world.chain.add(twins + 1, 'ed25519');
    const to = node.id;
    const caller = world.client(user);
    await caller.connect();
    const before = await queued();
    const calls = Array.from({ length: 5 }, (_, index) =>
      caller.call({ twin: to, command: `zos.n${index}`, payload: '', deadlineMs: 20_000 }),
    );
    await expect.poll(queued, PATIENCE).toBe(before + calls.length);
    const server = world.client(node);
    const order: string[] = [];
    const door = world.serve(server, node);
    server.serve((request) => {
      if (request.envelope.message.case === 'request') order.push(request.envelope.message.value.command);
      return door.handler(async () => ({ kind: 'response', payload: '1' }))(request);
    });
    await server.connect();
    await Promise.all(calls);
    expect(order).toEqual(['zos.n0', 'zos.n1', 'zos.n2', 'zos.n3', 'zos.n4']);
  });

  it('goes on after the relay was away', async () => {
    const { caller, server, to } = await pair();
    let waiting: Promise<unknown> | undefined;
    await withoutRelay(async () => {
      waiting = caller.call({ twin: to, command: 'zos.x', payload: '', deadlineMs: 20_000 });
      // Where the test fails before it is waited for.
      waiting.catch(() => undefined);
      await expect.poll(() => caller.connected, PATIENCE).toBe(false);
    });
    await waiting;
    await caller.call({ twin: to, command: 'zos.x', payload: '', deadlineMs: 20_000 });
    expect(server.connected).toBe(true);
  });

  it('says why when no relay can be reached', async () => {
    const { caller, to } = await pair();
    await withoutRelay(async () => {
      await expect.poll(() => caller.connected, PATIENCE).toBe(false);
      const ask = (): Promise<unknown> =>
        caller.call({ twin: to, command: 'zos.x', payload: '', deadlineMs: 1000 }).catch((error: unknown) => error);
      // The first may end before the line was tried again.
      await expect.poll(async () => String(await ask()), PATIENCE).toMatch(/ECONNREFUSED/);
      const lost = await ask();
      expect(lost).toMatchObject({ kind: 'relay-lost' });
      expect((lost as Error).message).not.toMatch(/eyJ/);
    });
  });

  it('says why a relay refuses to connect', async () => {
    const stranger = await world.chain.add(8, 'ed25519');
    await world.chain.add(8, 'ed25519');
    const wrong = world.client(stranger);
    await expect(wrong.connect({ deadlineMs: 3000 })).rejects.toMatchObject({
      kind: 'relay-lost',
      message: expect.stringContaining('relay answered 401: invalid jwt: jwt: Invalid signature'),
    });
  });

  it('survives an empty and a dead queue store for connected sessions', async () => {
    const { caller, to } = await pair();
    await world.redis.restart(300);
    await caller.call({ twin: to, command: 'zos.x', payload: '', deadlineMs: 20_000 });
  });

  it('follows a twin that changed its key', async () => {
    const { caller, node, server, to } = await pair();
    const call = { twin: to, command: 'zos.x', payload: '', deadlineMs: 20_000 } as const;
    await caller.call(call);
    const renewed = await world.chain.add(to, 'sr25519');
    await server.close();
    expect(renewed.id).toBe(node.id);
    const next = world.client(renewed);
    world.serve(next, renewed);
    await next.connect();
    // The caller still encrypts for the old key; that is refused, and the second try has the new one.
    await caller.call(call).catch(() => undefined);
    expect(parse(await caller.call(call))).toMatchObject({ echo: 'zos.x' });
  });
});
