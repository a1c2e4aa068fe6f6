/** Every method and stream of every interface, with the node's own Go library and stubs on either side. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ZbusClient } from '../../../modules/zbus/client.ts';
import type { InterfaceDefinition, MethodDefinition } from '../../../modules/zbus/definition.ts';
import { isZbusError } from '../../../modules/zbus/errors.ts';
import { queueName } from '../../../modules/zbus/frames.ts';
import { findInterfaces } from '../../../modules/zbus/interfaces.ts';
import { ZbusServer } from '../../../modules/zbus/server.ts';
import { startRedis, type TestRedis } from '../../../modules/zbus/testing/redis.ts';
import { BUILD_DEADLINE_MS, buildGoPrograms, hasGo } from './build.ts';
import { leftovers } from './leftovers.ts';
import { GoPeer, type GoTaken, type Prepared } from './peer.ts';
import { hexOf, Samples } from './sample.ts';

const ROOT = join(import.meta.dirname, '../../..');
const SEED = 20_260_401;
const STREAM_PAUSE_MS = 20;

/** What a method is called with and answers. */
interface Example {
  readonly name: string;
  readonly method: MethodDefinition;
  readonly args: Record<string, unknown>;
  /** The arguments as elements of a request. */
  readonly inputs: readonly string[];
  readonly results: readonly unknown[];
  readonly outputs: readonly string[];
  /** The text of the error that its second call ends with. */
  readonly failure: string;
}

interface Subject {
  readonly name: string;
  readonly definition: InterfaceDefinition;
  readonly examples: readonly Example[];
  readonly events: ReadonlyArray<{ readonly name: string; readonly value: unknown; readonly output: string }>;
}

function subjectOf(definition: InterfaceDefinition, seed: number): Subject {
  const samples = new Samples(seed);
  const { module, object, version } = definition;
  const name = queueName(module, { Name: object, Version: version });
  return {
    name,
    definition,
    examples: Object.entries(definition.methods).map(([method, each]) => exampleOf(name, method, each, samples)),
    events: Object.entries(definition.streams).map(([stream, wire]) => {
      const value = samples.of(wire);
      return { name: stream, value, output: hexOf(wire, value) };
    }),
  };
}

function exampleOf(object: string, name: string, method: MethodDefinition, samples: Samples): Example {
  const args: Record<string, unknown> = {};
  const inputs: string[] = [];
  for (const [arg, wire] of Object.entries(method.args)) {
    const values = arg === method.variadic ? [samples.of(wire), samples.of(wire)] : [samples.of(wire)];
    args[arg] = arg === method.variadic ? values : values[0];
    inputs.push(...values.map((value) => hexOf(wire, value)));
  }
  const results = method.returns.map((wire) => samples.of(wire));
  const outputs = method.returns.map((wire, index) => hexOf(wire, results[index]));
  return { name, method, args, inputs, results, outputs, failure: `${object} has no ${name} today` };
}

/** The objects of the existing software; those of ours alone have other versions. */
const subjects = (await findInterfaces(ROOT))
  .filter(({ definition }) => definition.version === '0.0.1')
  .map(({ definition }, index) => subjectOf(definition, SEED + index));
/** Methods that the project has in later versions than the one this folder builds. */
const LATER = new Set(['provision.provision@0.0.1.ListTwins', 'vmd.manager@0.0.1.LogsFull']);

const isKnown = (subject: Subject, { name }: Example): boolean => !LATER.has(`${subject.name}.${name}`);

it('there are eighteen interfaces with 168 methods and 13 streams', () => {
  expect(subjects.length).toBe(18);
  expect(subjects.flatMap(({ examples }) => examples).length).toBe(168);
  expect(subjects.flatMap(({ events }) => events).length).toBe(13);
});

describe.skipIf(!hasGo)('the Go library', { timeout: BUILD_DEADLINE_MS }, () => {
  let folder: string;
  let redis: TestRedis;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'gn-zbus-'));
    await buildGoPrograms(folder, 'peer');
    redis = await startRedis();
  }, BUILD_DEADLINE_MS);
  afterAll(async () => {
    await redis?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  describe('as the caller of our servers', () => {
    const servers: ZbusServer[] = [];
    /** Arguments as they came, by method, encoded anew. */
    const seen = new Map<string, string[][]>();
    let peer: GoPeer;

    beforeAll(async () => {
      for (const [module, served] of Object.entries(Object.groupBy(subjects, (one) => one.definition.module))) {
        const server = new ZbusServer({ module, broker: redis.broker });
        for (const subject of served ?? []) server.serve(subject.definition, serviceOf(subject, seen) as never);
        await server.start();
        servers.push(server);
      }
      peer = await GoPeer.start(join(folder, 'peer'), redis.broker);
    });
    afterAll(async () => {
      await peer?.stop();
      await Promise.all(servers.map((server) => server.stop(200)));
    });

    it('has a stub for each interface', () => {
      expect([...peer.objects].sort()).toEqual(subjects.map(({ name }) => name).sort());
    });

    it.each(subjects.map((subject) => [subject.name, subject] as const))('%s', async (object, subject) => {
      for (const example of subject.examples) {
        const { name, inputs, outputs, method, failure } = example;
        if (!isKnown(subject, example)) {
          expect(await peer.call({ object, method: name, args: inputs })).toMatchObject({ failure: 'no such method' });
          continue;
        }
        const got = await peer.call({ object, method: name, args: inputs });
        expect(got, `${object}.${name}`).toEqual({ results: outputs.length === 0 ? null : outputs });
        expect(seen.get(`${object}.${name}`)).toEqual([inputs]);
        if (!method.fails) continue;
        const failed = await peer.call({ object, method: name, args: inputs });
        expect(failed.error, `${object}.${name}`).toBe(failure);
        expect(failed.failure).toBeUndefined();
      }
    });

    it.each(subjects.filter(({ events }) => events.length > 0).map((subject) => [subject.name, subject] as const))(
      'streams of %s',
      async (object, { events }) => {
        for (const { name, output } of events) {
          expect(await peer.call({ object, method: name }), `${object}.${name}`).toEqual({ results: [output] });
        }
      },
    );

    it('reads the status of each module', async () => {
      for (const [module, served] of Object.entries(Object.groupBy(subjects, (one) => one.definition.module))) {
        const { status, failure } = await peer.call({ object: module, method: '', deadlineMs: 3_000 });
        expect(failure).toBeUndefined();
        expect(status?.objects).toEqual(
          served?.map(({ definition }) => ({ Name: definition.object, Version: definition.version })),
        );
        expect(status?.workers.map(({ state }) => state)).toEqual(['free']);
      }
    });

    it('leaves nothing behind', async () => {
      await expectClean(redis);
    });
  });

  describe('as the server of our callers', () => {
    let peer: GoPeer;
    let client: ZbusClient;

    beforeAll(async () => {
      const prepared: Prepared = Object.fromEntries(
        subjects.map((subject) => [
          subject.name,
          Object.fromEntries([
            ...subject.examples
              .filter((example) => isKnown(subject, example))
              .map(({ name, outputs, failure, method }) => [
                name,
                method.fails ? [{ results: outputs }, { error: failure }] : [{ results: outputs }],
              ]),
            ...subject.events.map(({ name, output }) => [name, [{ results: [output] }]]),
          ]),
        ]),
      );
      peer = await GoPeer.start(join(folder, 'peer'), redis.broker, prepared);
      client = new ZbusClient({ broker: redis.broker, deadlineMs: 20_000 });
    });
    afterAll(async () => {
      await client?.close();
      await peer?.stop();
    });

    it.each(subjects.map((subject) => [subject.name, subject] as const))('%s', async (object, subject) => {
      const calls = client.of(subject.definition) as Record<string, (args: object) => Promise<unknown>>;
      const expected: GoTaken[] = [];
      for (const example of subject.examples) {
        const { name, args, inputs, results, method, failure } = example;
        const call = calls[name] as (args: object) => Promise<unknown>;
        if (!isKnown(subject, example)) {
          await expect(call(args)).rejects.toThrow(`${object}.${name}: not a function`);
          continue;
        }
        expect(await call(args), `${object}.${name}`).toEqual(results.length > 1 ? results : results[0]);
        expected.push({ object, method: name, args: inputs });
        if (!method.fails) continue;
        const error: unknown = await call(args).catch((reason: unknown) => reason);
        expect(isZbusError(error, 'call_failed') && error.message, `${object}.${name}`).toBe(failure);
        expected.push({ object, method: name, args: inputs });
      }
      const taken = (): GoTaken[] => peer.taken.filter((one) => one.object === object);
      await expect.poll(taken, { timeout: 20_000 }).toEqual(expected);
    });

    it.each(subjects.filter(({ events }) => events.length > 0).map((subject) => [subject.name, subject] as const))(
      'streams of %s',
      async (object, { definition, events }) => {
        for (const { name, value } of events) {
          const ending = new AbortController();
          const stream = client.stream(definition, name, {
            signal: AbortSignal.any([ending.signal, AbortSignal.timeout(20_000)]),
          });
          expect(await stream.next(), `${object}.${name}`).toEqual({ done: false, value });
          ending.abort();
        }
      },
    );

    it('tells the status of each module', async () => {
      for (const [module, served] of Object.entries(Object.groupBy(subjects, (one) => one.definition.module))) {
        const status = await client.status(module);
        const names = served?.map(({ definition }) => definition.object).sort();
        expect(status.Objects.map(({ Name }) => Name).sort()).toEqual(names);
        expect(status.Workers.map(({ State }) => State)).toEqual(['free']);
      }
    });

    it('is left with nothing', async () => {
      await client.close();
      await expectClean(redis);
    });
  });
});

/** Gives each method its results, then its failure. */
function serviceOf(subject: Subject, seen: Map<string, string[][]>): Record<string, unknown> {
  const service: Record<string, unknown> = {};
  for (const { name, method, results, failure } of subject.examples) {
    const key = `${subject.name}.${name}`;
    service[name] = (args: Record<string, unknown>) => {
      const inputs = Object.entries(method.args).flatMap(([arg, wire]) =>
        (arg === method.variadic ? (args[arg] as unknown[]) : [args[arg]]).map((value) => hexOf(wire, value)),
      );
      const calls = seen.get(key) ?? [];
      seen.set(key, calls);
      calls.push(inputs);
      if (method.fails && calls.length > 1) throw new Error(failure);
      return results.length > 1 ? results : results[0];
    };
  }
  for (const { name, value } of subject.events) {
    service[`${name}$`] = async function* (signal: AbortSignal) {
      while (!signal.aborted) {
        yield value;
        await sleep(STREAM_PAUSE_MS, undefined, { signal }).catch(() => undefined);
      }
    };
  }
  return service;
}

async function expectClean({ socket }: TestRedis): Promise<void> {
  await expect.poll(() => leftovers(socket), { timeout: 20_000 }).toEqual([]);
}
