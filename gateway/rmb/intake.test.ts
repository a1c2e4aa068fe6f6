import { describe, expect, it } from 'vitest';
import { createEnvelope } from './envelope.ts';
import { type IncomingRequest, Intake } from './intake.ts';

const request = (text: string, relay = 'a', sizeBytes = 0): IncomingRequest => ({
  bytes: Buffer.concat([Buffer.from(text), Buffer.alloc(sizeBytes)]),
  envelope: createEnvelope({ uid: text }),
  relay,
});

function build(options: { limit?: number; limitBytes?: number; severalRelays?: boolean } = {}) {
  const steps: string[] = [];
  const errors: unknown[] = [];
  const waiting = new Map<string, { resolve: () => void; reject: (error: Error) => void }>();
  const intake = new Intake({
    limit: options.limit ?? 4,
    limitBytes: options.limitBytes ?? 1_000_000,
    severalRelays: options.severalRelays ?? false,
    pause: () => steps.push('pause'),
    resume: () => steps.push('resume'),
    onError: (error) => errors.push(error),
    onDropped: () => steps.push('dropped'),
  });
  intake.serve(({ envelope }) => {
    steps.push(envelope.uid);
    return new Promise((resolve, reject) => waiting.set(envelope.uid, { resolve, reject }));
  });
  const finish = async (uid: string, error?: Error): Promise<void> => {
    const found = waiting.get(uid);
    if (error === undefined) found?.resolve();
    else found?.reject(error);
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { intake, steps, errors, finish };
}

describe('the intake', () => {
  it('pauses the lines when all places are taken, and starts what was read with the last one later, in order', async () => {
    const { intake, steps, finish } = build();
    for (const uid of ['1', '2', '3', '4', '5', '6']) intake.take(request(uid));
    expect(steps).toEqual(['1', '2', '3', '4', 'pause']);
    await finish('2');
    expect(steps.splice(0)).toEqual(['1', '2', '3', '4', 'pause', '5']);
    await finish('1');
    expect(steps.splice(0)).toEqual(['6']);
    await finish('3');
    expect(steps).toEqual(['resume']);
    expect(intake.counts).toEqual({ duplicates: 0, unserved: 0, pauses: 1, dropped: 0 });
    expect(intake.serving).toBe(3);
  });

  it('counts the bytes of what is served, too', async () => {
    const { intake, steps, finish } = build({ limit: 100, limitBytes: 1000 });
    intake.take(request('1', 'a', 600));
    intake.take(request('2', 'a', 600));
    intake.take(request('3', 'a', 600));
    expect(steps.splice(0)).toEqual(['1', '2', 'pause']);
    await finish('1');
    expect(steps.splice(0)).toEqual(['3']);
    await finish('2');
    expect(steps).toEqual(['resume']);
  });

  it('gives the place of a failed request back', async () => {
    const { intake, steps, errors, finish } = build({ limit: 1 });
    intake.take(request('1'));
    await finish('1', new Error('no'));
    intake.serve(() => {
      throw new Error('at once');
    });
    intake.take(request('2'));
    await finish('2');
    expect(errors).toEqual([new Error('no'), new Error('at once')]);
    expect(intake.serving).toBe(0);
    expect(steps).toEqual(['1', 'pause', 'resume', 'pause', 'resume']);
  });

  it('holds no more than memory may, where lines cannot be paused, and counts what is lost', () => {
    const { intake, steps } = build({ limit: 1 });
    for (let index = 0; index < 12; index += 1) intake.take(request(`${index}`, 'a', 8 * 1024 * 1024));
    expect(steps).toEqual(['0', 'pause', 'dropped', 'dropped', 'dropped']);
    expect(intake.counts.dropped).toBe(3);
  });

  it('holds no more small ones than memory may either', () => {
    const { intake, steps } = build({ limit: 1 });
    for (let index = 0; index < 32_770; index += 1) intake.take(request(`${index}`));
    expect(steps).toEqual(['0', 'pause', 'dropped']);
  });

  it('knows a copy that came through another relay, and lets the door judge one of the same', () => {
    const { intake, steps } = build({ limit: 100, severalRelays: true });
    intake.take(request('1', 'a'));
    intake.take(request('1', 'b'));
    intake.take(request('1', 'a'));
    intake.take(request('2', 'b'));
    intake.take({ ...request('2', 'a'), bytes: Buffer.from('2 changed') });
    expect(steps).toEqual(['1', '1', '2', '2']);
    expect(intake.counts.duplicates).toBe(1);
  });

  it('counts what comes while nobody serves', () => {
    const intake = new Intake({
      limit: 1,
      limitBytes: 1,
      severalRelays: false,
      pause: () => undefined,
      resume: () => undefined,
      onError: () => undefined,
      onDropped: () => undefined,
    });
    intake.take(request('1'));
    expect(intake.counts.unserved).toBe(1);
  });
});
