/** A line to an endpoint, from a process that stands still now and then. */
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';
import { afterEach, expect, it } from 'vitest';
import { EndpointLine } from './line.ts';

/** Answers in a thread of its own, and says in shared memory that it did. */
const ENDPOINT = `
  const { parentPort, workerData } = require('node:worker_threads');
  const { WebSocketServer } = require(workerData.ws);
  const answered = new Int32Array(workerData.answered);
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  server.on('listening', () => parentPort.postMessage(server.address().port));
  server.on('connection', (socket) => {
    socket.on('message', (data) => {
      const { id, method } = JSON.parse(data.toString());
      if (method === 'silent') return;
      socket.send(JSON.stringify({ jsonrpc: '2.0', id, result: method }), () => {
        Atomics.store(answered, 0, 1);
        Atomics.notify(answered, 0);
      });
    });
  });`;

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function open(): Promise<{ line: EndpointLine; answered: Int32Array }> {
  const answered = new Int32Array(new SharedArrayBuffer(4));
  const ws = createRequire(import.meta.url).resolve('ws');
  const worker = new Worker(ENDPOINT, { eval: true, workerData: { ws, answered: answered.buffer } });
  ends.push(() => worker.terminate());
  const [port] = (await once(worker, 'message', { signal: AbortSignal.timeout(20_000) })) as [number];
  const line = await EndpointLine.open(`ws://127.0.0.1:${port}`, { connectMs: 20_000, answerMs: 20_000 });
  ends.push(() => line.end('done'));
  return { line, answered };
}

it('takes no endpoint for silent that answered while the process stood still', async () => {
  const { line, answered } = await open();
  const asked = line.request('echo', [], 300);
  // The thread stands still, until the answer has come and for longer than it may take.
  expect(Atomics.wait(answered, 0, 0, 20_000)).not.toBe('timed-out');
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 600);
  expect(await asked).toBe('echo');
  expect(line.isOpen).toBe(true);
});

it('ends where nothing is answered, however the process stood still', async () => {
  const { line } = await open();
  const asked = line.request('silent', [], 200);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
  await expect(asked).rejects.toThrow('No response received');
  expect([line.isOpen, line.reason]).toEqual([false, 'silent for 200 ms']);
});
