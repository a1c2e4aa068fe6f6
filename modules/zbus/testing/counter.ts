/** A small object for tests of the bus, and a process that serves it (`node counter.ts BROKER`). */
import { setTimeout as sleep } from 'node:timers/promises';
import { defineInterface, type Service } from '../definition.ts';
import { ZbusServer } from '../server.ts';
import { bool, count64, named, signed64, slice, str, struct, uint64 } from '../wire.ts';

export const Reading = struct('test.Reading', { Name: str, Value: count64, Tags: slice(str) });

export const counter = defineInterface({
  module: 'test',
  object: 'counter',
  version: '0.0.1',
  methods: {
    Add: { args: { a: signed64, b: signed64 }, returns: [signed64], fails: true, order: 'read' },
    Large: { args: { value: uint64 }, returns: [count64], fails: true, order: 'read' },
    Pair: { args: { name: str }, returns: [Reading, bool], fails: true, order: 'read' },
    Fail: { args: { text: str }, returns: [Reading], fails: true, order: 'read' },
    Panic: { args: {}, returns: [bool], fails: false, order: 'read' },
    Trace: { args: {}, returns: [str], fails: true, order: 'read' },
    Sleep: { args: { name: str, ms: count64 }, returns: [str], fails: true, order: { by: 'name' } },
    SleepAlone: { args: { ms: count64 }, returns: [], fails: true },
    SleepBeside: { args: { ms: count64 }, returns: [], fails: true, order: 'read' },
    Many: {
      args: { label: str, names: named('test.Name', str) },
      returns: [slice(str)],
      fails: true,
      variadic: 'names',
    },
  },
  streams: { Ticks: count64 },
});

/** What ran, in order: `+name` at the start of a call and `-name` at its end. */
export type CallLog = string[];

/** With `end` what sleeps runs until then, whatever time it was given. */
export function counterService(
  log: CallLog = [],
  trace: () => string | undefined = () => undefined,
  end?: Promise<void>,
): Service<typeof counter> {
  const during = async (name: string, ms: number, signal?: AbortSignal): Promise<void> => {
    log.push(`+${name}`);
    const ending = end ?? sleep(ms, undefined, { ...(signal === undefined ? {} : { signal }) });
    await ending.catch(() => log.push(`!${name}`));
    log.push(`-${name}`);
  };
  return {
    Add: ({ a, b }) => a + b,
    Large: ({ value }) => Number(value),
    Pair: ({ name }) => [{ Name: name, Value: 7, Tags: [] }, true],
    Fail: ({ text }) => {
      throw Object.assign(new Error(text), { code: 'test_failure', details: { size: 5 } });
    },
    Panic: () => {
      throw new Error('out of order');
    },
    Trace: (_args, context) => `${context.trace} ${trace()}`,
    Sleep: async ({ name, ms }, { signal }) => {
      await during(name, ms, signal);
      return name;
    },
    SleepAlone: ({ ms }) => during('alone', ms),
    SleepBeside: ({ ms }) => during('beside', ms),
    Many: ({ label, names }) => [label, ...names],
    async *Ticks$(signal) {
      for (let tick = 0; !signal.aborted; tick++) {
        // Every third value does not have its type and must not reach a listener.
        yield tick % 3 === 2 ? -1 : tick;
        await sleep(10, undefined, { signal }).catch(() => undefined);
      }
    },
  };
}

const [, script, broker] = process.argv;
if (script === import.meta.filename && broker !== undefined) {
  const server = new ZbusServer({ module: 'test', broker });
  server.serve(counter, counterService());
  await server.start();
  process.stdout.write('ready\n');
}
