/** noded's own process, listened to by a Go daemon's stubs: what this machine does, in the types of the Go node. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nodeHost, nodeSystem } from '../../../modules/noded/interface.ts';
import { decode } from '../../../modules/zbus/codec.ts';
import type { InterfaceDefinition } from '../../../modules/zbus/definition.ts';
import { queueName } from '../../../modules/zbus/frames.ts';
import { startRedis, type TestRedis } from '../../../modules/zbus/testing/redis.ts';
import type { Infer } from '../../../modules/zbus/wire.ts';
import { end } from '../../bench/peers/child.ts';
import { BUILD_DEADLINE_MS, buildGoPrograms, hasGo } from './build.ts';
import { GoPeer } from './peer.ts';

describe.skipIf(!hasGo)('noded for the Go library', { timeout: BUILD_DEADLINE_MS }, () => {
  let folder: string;
  let redis: TestRedis;
  let noded: ChildProcess;
  let peer: GoPeer;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'gn-noded-'));
    await buildGoPrograms(folder, 'peer');
    redis = await startRedis();
    const main = new URL('../../../modules/noded/main.ts', import.meta.url).pathname;
    noded = spawn(process.execPath, [main, '--broker', redis.broker, '--state', folder], { stdio: 'ignore' });
    peer = await GoPeer.start(join(folder, 'peer'), redis.broker);
  }, BUILD_DEADLINE_MS);

  afterAll(async () => {
    await peer?.stop();
    if (noded !== undefined) await end(noded);
    await redis?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  /** The first value of a stream, read and written again by Go. */
  async function heard<D extends InterfaceDefinition, K extends keyof D['streams'] & string>(
    definition: D,
    stream: K,
  ): Promise<Infer<D['streams'][K]>> {
    const { module, object, version } = definition;
    const name = queueName(module, { Name: object, Version: version });
    const { results, failure } = await peer.call({ object: name, method: stream, deadlineMs: 60_000 });
    expect(failure).toBeUndefined();
    const wire = definition.streams[stream];
    if (wire === undefined) throw new Error(`no stream ${stream}`);
    return decode(wire, Buffer.from(results?.[0] ?? '', 'hex')) as Infer<D['streams'][K]>;
  }

  it('streams what it measures', async () => {
    expect(await heard(nodeSystem, 'CPU')).toMatchObject({ CPU: 'cpu-total' });
    expect(await heard(nodeSystem, 'Memory')).toMatchObject({ Total: totalmem() });
    expect((await heard(nodeSystem, 'Nics')).map(({ Name }) => Name)).toContain('lo');
    for (const [name, disk] of await heard(nodeSystem, 'Disks')) expect(disk.Name).toBe(name);
    expect(await heard(nodeHost, 'Uptime')).toBeGreaterThan(1_000_000_000n);
  });
});
