import { describe, expect, it } from 'vitest';
import { Channel, MissedError } from './channel.ts';
import { stepStream } from './report.ts';

const { signal } = new AbortController();

describe('channel', () => {
  it('gives every value in order, also those that come while it is read', async () => {
    const channel = new Channel<number>(3);
    channel.push(1);
    const reader = channel.read(signal);
    expect((await reader.next()).value).toBe(1);
    const next = reader.next();
    channel.push(2);
    channel.push(3);
    expect([(await next).value, (await reader.next()).value]).toEqual([2, 3]);
  });

  it('disconnects a reader that is too far behind, with the number of values it lost', async () => {
    const channel = new Channel<number>(3);
    for (let value = 1; value <= 5; value++) channel.push(value);
    const lost: unknown = await channel
      .read(signal)
      .next()
      .catch((error: unknown) => error);
    expect(lost).toBeInstanceOf(MissedError);
    expect(lost).toMatchObject({ missed: 5 });
    channel.push(6);
    expect((await channel.read(signal).next()).value).toBe(6);
  });

  it('ends with the signal', async () => {
    const end = new AbortController();
    const next = new Channel<number>(1).read(end.signal).next();
    end.abort();
    expect((await next).done).toBe(true);
  });
});

it('the stream of steps tells its listeners of what they can not have seen', async () => {
  const channel = new Channel<ReturnType<typeof event>>(2);
  const event = (At: number) => ({
    TwinID: 7,
    ContractID: 1n,
    Workload: 'vm',
    Step: 'image',
    State: 'done',
    Message: '',
    At,
    Trace: '',
  });
  for (let at = 1; at <= 3; at++) channel.push(event(at));
  const stream = stepStream(channel, signal);
  expect((await stream.next()).value).toMatchObject({
    TwinID: 0,
    State: 'missed',
    Message: expect.stringContaining('3'),
  });
  channel.push(event(4));
  expect((await stream.next()).value).toEqual(event(4));
});
