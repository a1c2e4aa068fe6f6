import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Qmp } from './qmp.ts';

describe('the machine protocol', () => {
  let folder: string;
  let server: Server;
  const lines: Socket[] = [];
  const uncaught: unknown[] = [];
  const onUncaught = (error: unknown): void => void uncaught.push(error);

  /** A QEMU that greets, and after the first command answers with what a test wants. */
  async function speak(...answers: string[]): Promise<Qmp> {
    const path = join(folder, 'qmp');
    server = createServer((socket) => {
      lines.push(socket);
      socket.on('error', () => undefined);
      socket.write('{"QMP":{}}\n');
      let first = true;
      socket.on('data', (data) => {
        for (const line of data.toString().trim().split('\n')) {
          const { id } = JSON.parse(line) as { id: number };
          const reply = first ? [`{"return":{},"id":${id}}`] : answers.map((text) => text.replace('ID', `${id}`));
          first = false;
          socket.write(`${reply.join('\n')}\n`);
        }
      });
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    return Qmp.connect(path, { deadlineMs: 20_000, onEvent: ({ data }) => void String(data.reason) });
  }

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'gn-qmp-'));
    process.prependListener('uncaughtException', onUncaught);
  });
  afterEach(async () => {
    process.off('uncaughtException', onUncaught);
    uncaught.length = 0;
    for (const line of lines.splice(0)) line.destroy();
    await new Promise((resolve) => server.close(resolve));
    await rm(folder, { recursive: true });
  });

  it('gives results and errors', async () => {
    const qmp = await speak('not json', '{"return":{"a":1},"id":ID}');
    expect(await qmp.command('x', {}, 20_000)).toEqual({ a: 1 });
    qmp.close();
  });

  it.each([
    ['an event that cannot be read', '{"event":"SHUTDOWN","data":{"reason":{"toString":1}}}'],
    ['an error of nothing', '{"error":null,"id":ID}'],
  ])('ends the connection for %s, and nothing else', async (_what, line) => {
    const qmp = await speak(line);
    await expect(qmp.command('x', {}, 20_000)).rejects.toThrow('the connection to QEMU has ended');
    await qmp.closed;
    expect(uncaught).toEqual([]);
  });
});
