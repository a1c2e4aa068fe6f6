import { expect, it, vi } from 'vitest';
import { silentLog } from '../modules/zbus/broker.ts';
import { Acceptor } from './accept.ts';
import type { Engine } from './engine/engine.ts';
import { NodeReader } from './node.ts';
import { MemoryJournal } from './store/memory.ts';
import { NaiveHost } from './testing/naive.ts';
import { diskWorkload, Tenant } from './testing/tenant.ts';
import type { Verifier } from './verify.ts';

const GIB = 1024 ** 3;
const HOST = { cpus: 4, overcommit: 2, memoryBytes: 16 * GIB, poolBytes: 40 * GIB, foreignBytes: 0 };
const signal = new AbortController().signal;
const tenant = new Tenant(7);

/** A journal whose disk answers when it is told to. */
class SlowJournal extends MemoryJournal {
  readonly disk = Promise.withResolvers<void>();

  override synced(): Promise<void> {
    return this.disk.promise;
  }
}

function accepting() {
  const journal = new SlowJournal();
  const engine = {
    submit: vi.fn(),
    cancel: vi.fn((id: string, reason: string) => journal.cancel(id, reason)),
  };
  const verifier = {
    document: () => Promise.resolve('current'),
    contract: () => Promise.resolve({ facts: { PublicIPs: 0, RentedBy: 0 }, formula: 'current' }),
  } as unknown as Verifier;
  const { daemons } = new NaiveHost(HOST);
  const onAccepted = vi.fn();
  const acceptor = new Acceptor({
    ...{ journal, verifier, onAccepted, log: silentLog },
    engine: engine as unknown as Engine,
    node: new NodeReader({ daemons, journal, cpuOvercommit: 2, host: HOST }),
  });
  const answer = acceptor.create(tenant.deployment(1n, [diskWorkload('disk1', GIB)]), 7, 'trace-1', signal);
  return { journal, engine, onAccepted, answer };
}

it('answers, and begins, only once the deployment is on the disk', async () => {
  const { journal, engine, onAccepted, answer } = accepting();
  const answered = vi.fn();
  const ended = answer.then(answered);
  await expect.poll(() => journal.deployment('7-1')?.workloads).toHaveLength(1);
  await new Promise((resolve) => setImmediate(resolve));
  for (const one of [answered, engine.submit, onAccepted]) expect(one).not.toHaveBeenCalled();
  journal.disk.resolve();
  await ended;
  expect(engine.submit).toHaveBeenCalledWith('7-1');
  expect(onAccepted).toHaveBeenCalledOnce();
});

it('takes back what does not reach the disk', async () => {
  const { journal, engine, onAccepted, answer } = accepting();
  journal.disk.reject(new Error('EIO: i/o error, fdatasync'));
  await expect(answer).rejects.toMatchObject({ code: 'journal_unwritable', retryable: true });
  expect(engine.submit).not.toHaveBeenCalled();
  expect(onAccepted).not.toHaveBeenCalled();
  expect(journal.deployment('7-1')?.cancelled).toMatch(/could not write its journal.*EIO/);
});

it('leaves nothing without a lane where the disk does not take that it is taken back either', async () => {
  const { journal, engine, answer } = accepting();
  engine.cancel.mockImplementation(() => {
    throw new Error('EIO: i/o error, write');
  });
  journal.disk.reject(new Error('EIO: i/o error, fdatasync'));
  await expect(answer).rejects.toMatchObject({ code: 'journal_unwritable' });
  expect(engine.submit).toHaveBeenCalledWith('7-1');
});
