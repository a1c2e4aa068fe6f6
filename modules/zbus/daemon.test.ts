import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { beginDaemon, defineDaemon } from './daemon.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'zbus-daemon-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('a daemon', () => {
  it('ends what it has begun, once, when the broker is lost while it starts to serve', async () => {
    const path = join(folder, 'r.sock');
    const broker = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.destroy();
    });
    await new Promise<void>((resolve) => broker.listen(path, resolve));
    const told: string[] = [];
    const definition = defineDaemon({
      name: 'trial',
      module: 'trial',
      start: ({ signal }) => {
        signal.addEventListener('abort', () => told.push('told'));
        return Promise.resolve(async () => void told.push('ended'));
      },
    });
    const daemon = beginDaemon(definition, {
      ...{ broker: `unix://${path}`, state: folder, logLevel: 'silent', options: {} },
    });
    await expect(daemon.ready).rejects.toThrow(/broker/);
    expect(told).toEqual(['told', 'ended']);
    await daemon.stop();
    expect(told).toEqual(['told', 'ended']);
    await new Promise((resolve) => broker.close(resolve));
  });
});
