import { Writable } from 'node:stream';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ZbusError } from '../../modules/zbus/errors.ts';
import { TwinWatch, type TwinWatchOptions } from './twin-watch.ts';

const own = { relays: ['relay.example'], encryptionKey: new Uint8Array(33).fill(2) };
const twin = (Relay: string, EncryptionKey: Uint8Array | null = own.encryptionKey) => ({
  ...{ Found: true, TwinID: 7, Account: new Uint8Array(32) },
  ...{ Relay, EncryptionKey, BlockNumber: 1, AgeSeconds: 0 },
});
const failed = (code: string): ZbusError =>
  new ZbusError('call_failed', `failed: ${code}`, { remote: { code, number: 1, details: {} } as never });

let stop: AbortController;
beforeEach(() => {
  stop = new AbortController();
});
afterEach(() => stop.abort());

/** A watch on answers that the test gives, and what it did with them. */
function watchOn(answers: TwinWatchOptions['chain'], options: Partial<TwinWatchOptions> = {}) {
  const said: string[] = [];
  const sink = new Writable({
    write: (line: Buffer, _encoding, done) => {
      said.push((JSON.parse(line.toString()) as { msg: string }).msg);
      done();
    },
  });
  const registry = new Registry();
  const base = { own, address: '5Own', create: false, update: 'never', log: pino(sink), registry } as const;
  const watch = new TwinWatch({ ...base, chain: answers, ...options });
  const running = watch.run(stop.signal);
  const metric = async (): Promise<number | undefined> =>
    (await registry.getSingleMetric('gateway_twin_differences')?.get())?.values[0]?.value;
  return { watch, running, said, metric };
}

it('pays for no more than three refusals of the chain, and says what it refused', async () => {
  const asked: string[] = [];
  const { watch, said, metric } = watchOn(
    {
      EnsureTwin: async () => {
        asked.push('ensure');
        throw failed('chain_dispatch');
      },
      OwnTwin: async () => {
        asked.push('own');
        return twin('old.example');
      },
    },
    { update: 'union' },
  );
  await expect
    .poll(() => {
      watch.changed(0);
      return asked.includes('own');
    })
    .toBe(true);
  expect(asked.slice(0, 4)).toEqual(['ensure', 'ensure', 'ensure', 'own']);
  expect(said[0]).toBe('failed: chain_dispatch');
  await expect.poll(metric).toBe(1);
  expect(watch.problems()).toEqual([{ part: 'twin', reason: 'the chain does not name relay.example' }]);
});

it('takes a chain that cannot be asked for no news of the twin', async () => {
  const { watch, said, metric } = watchOn({
    EnsureTwin: async () => twin(''),
    OwnTwin: async () => {
      throw failed('chain_lost');
    },
  });
  await expect.poll(() => said).toEqual(['failed: chain_lost']);
  expect(watch.problems()).toEqual([]);
  expect(await metric()).toBeUndefined();
});

it('writes at its start only, whatever happens to the twin later', async () => {
  const asked: string[] = [];
  let stored = twin('relay.example');
  const { watch, said } = watchOn(
    {
      EnsureTwin: async ({ update }) => {
        asked.push(update);
        return stored;
      },
      OwnTwin: async () => {
        asked.push('own');
        return stored;
      },
    },
    { update: 'replace' },
  );
  await expect.poll(() => said).toEqual(['the chain names the relays of this gateway']);
  stored = twin('other.example', null);
  watch.changed(8);
  watch.changed(7);
  await expect.poll(() => watch.problems().length).toBe(2);
  expect(asked).toEqual(['replace', 'own']);
  expect(said[1]).toMatch(/other\.example.*clients send in the clear/);
});

it('ends with its signal, also while it is asking', async () => {
  const { running } = watchOn({
    EnsureTwin: async () => twin(''),
    OwnTwin: (_args, options) =>
      new Promise((_resolve, reject) =>
        options?.signal?.addEventListener('abort', () => reject(options.signal?.reason)),
      ),
  });
  setTimeout(() => stop.abort(), 20);
  await running;
});
