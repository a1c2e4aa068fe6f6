import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { versionMonitor } from '../../modules/identityd/interface.ts';
import { registrar } from '../../modules/registrar/interface.ts';
import { ZbusServer } from '../../modules/zbus/index.ts';
import { startRedis, type TestRedis } from '../../modules/zbus/testing/redis.ts';
import { vectors } from '../../modules/zbus/testing/vectors.ts';
import { screen } from '../../modules/zui/interface.ts';
import { checkout } from '../node/layout.ts';

const main = join(checkout, 'cli', 'main.ts');
const run = promisify(execFile);

interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number;
}

async function gridnode(...args: readonly string[]): Promise<Outcome> {
  try {
    return { ...(await run(process.execPath, [main, 'zbus', ...args], { timeout: 60_000 })), code: 0 };
  } catch (error) {
    const { stdout, stderr, code } = error as Outcome;
    return { stdout, stderr, code };
  }
}

let redis: TestRedis;
const servers: ZbusServer[] = [];
const pushed: object[] = [];
const version = { Major: 1, Minor: 2, Patch: 3, Pre: [], Build: [] };

beforeAll(async () => {
  redis = await startRedis();
  const serve = async (module: string, register: (server: ZbusServer) => void): Promise<void> => {
    const server = new ZbusServer({ module, broker: redis.broker });
    register(server);
    await server.start();
    servers.push(server);
  };
  await serve('registrar', (server) =>
    server.serve(registrar, {
      NodeID: () => 41,
      TwinID: () => {
        throw new Error('registration is still in progress');
      },
    }),
  );
  await serve('zui', (server) =>
    server.serve(screen, {
      PushErrors: (errors) => {
        pushed.push(errors);
      },
    }),
  );
  await serve('identityd', (server) =>
    server.serve(versionMonitor, {
      GetVersion: () => version,
      async *Version$(signal: AbortSignal) {
        while (!signal.aborted) {
          yield version;
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
      },
    }),
  );
}, 120_000);
afterAll(async () => {
  await Promise.all(servers.map((server) => server.stop(200)));
  await redis?.stop();
});

describe('gridnode zbus', { timeout: 120_000 }, () => {
  it('lists what answers', async () => {
    const { stdout, code } = await gridnode('list', '--broker', redis.broker, '--wait', '5', '--json');
    expect(code).toBe(0);
    const answers = JSON.parse(stdout) as Array<{ module: string; answers: boolean; objects?: string[] }>;
    expect(answers.filter(({ answers: alive }) => alive).map(({ module }) => module)).toEqual([
      'identityd',
      'registrar',
      'zui',
    ]);
    expect(answers.find(({ module }) => module === 'registrar')?.objects).toContain('registrar@0.0.1');
  });

  it('calls methods, and tells errors as a person needs them', async () => {
    const broker = ['--broker', redis.broker];
    expect(await gridnode('call', 'registrar', 'NodeID', ...broker)).toMatchObject({ stdout: '41\n', code: 0 });
    const refused = await gridnode('call', 'registrar.registrar', 'TwinID', ...broker);
    expect(refused).toMatchObject({ code: 1 });
    expect(refused.stderr).toBe('gridnode: call failed: registration is still in progress\n');
    expect(await gridnode('call', 'zui', 'PushErrors', '"disk"', '["full", "slow"]', ...broker)).toMatchObject({
      code: 0,
    });
    expect(pushed).toEqual([{ label: 'disk', errors: ['full', 'slow'] }]);
    const typo = await gridnode('call', 'zui', 'PushErrors', 'disk', '[]', ...broker);
    expect(typo.stderr).toContain(`label is not JSON: disk; a text needs its quotes: '"disk"'`);
    const missing = await gridnode('call', 'storage', 'Cache', '--deadline', '1', ...broker);
    expect(missing.stderr).toMatch(/^gridnode: no such module: storage\.storage@0\.0\.1\.Cache: nothing took the call/);
    const unknown = await gridnode('call', 'storage', 'Caches', ...broker);
    expect(unknown.stderr).toContain('storage.storage@0.0.1 has no method');
  });

  it('watches a stream', async () => {
    const watch = await gridnode('watch', 'identityd.Version', '--count', '2', '--broker', redis.broker);
    expect(watch).toMatchObject({ code: 0, stdout: `${JSON.stringify(version)}\n`.repeat(2) });
    const child = spawn(process.execPath, [main, 'zbus', 'watch', 'identityd.Version', '--broker', redis.broker]);
    await once(child.stdout, 'data');
    child.kill('SIGINT');
    const [code] = await once(child, 'exit');
    expect(code).toBe(0);
  });

  it('turns recorded frames into JSON and back', async () => {
    const request = vectors.frames.find(
      ({ kind, name }) => kind === 'request' && name === 'storage.storage.VolumeCreate',
    );
    if (request?.kind !== 'request') throw new Error('the vectors have no such request');
    const read = JSON.parse((await gridnode('decode', 'request', request.frame_hex)).stdout);
    expect(read).toMatchObject({ queue: 'storage.storage@0.0.1', method: 'VolumeCreate', id: request.id });
    const args = Object.values(read.args).map((value) => JSON.stringify(value));
    const envelope = ['--id', request.id, '--reply-to', request.reply_to];
    const again = await gridnode('encode', 'request', 'storage', 'VolumeCreate', ...args, ...envelope);
    expect(again.stdout.trim()).toBe(request.frame_hex);

    const answer = vectors.frames.find(({ kind, name }) => kind === 'response' && name === 'VolumeCreate ok');
    if (answer?.kind !== 'response') throw new Error('the vectors have no such answer');
    const method = ['--object', 'storage', '--method', 'VolumeCreate'];
    const told = JSON.parse((await gridnode('decode', 'answer', answer.frame_hex, ...method)).stdout);
    const results = (told.results as unknown[]).map((value) => JSON.stringify(value));
    const back = await gridnode('encode', 'answer', 'storage', 'VolumeCreate', ...results, '--id', answer.id);
    expect(back.stdout.trim()).toBe(answer.frame_hex);
    expect((await gridnode('decode', 'request', 'c1')).stderr).toMatch(/^gridnode: /);
  });

  it('prints clients and help without a bus', async () => {
    expect((await gridnode('generate', '--module', 'registrar', '--lang', 'go')).stdout).toContain('package registrar');
    const json = JSON.parse((await gridnode('generate', '--module', 'all', '--lang', 'json')).stdout);
    expect(Object.keys(json)).toContain('netlight.netlight@0.0.1');
    expect((await gridnode('generate', '--module', 'node', '--lang', 'ts')).stderr).toMatch(
      /several objects; say which/,
    );
    expect((await gridnode('call', '--help')).stdout).toContain('gridnode zbus call OBJECT METHOD');
  });
});
