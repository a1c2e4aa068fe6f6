import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { type Sending, sendUntilTaken } from './sending.ts';

const silence = new Error('no answer');
const nothing = new Error('deployment not found');

function sending(answers: (Error | undefined)[], known: (Error | { version: number })[]): Sending & { sent: number } {
  const one = {
    sent: 0,
    send: () => Promise.resolve(answers[Math.min(one.sent++, answers.length - 1)]),
    look: () => Promise.resolve(known[Math.min(one.sent, known.length) - 1] ?? nothing),
    isOver: () => false,
    version: 1,
    deadlineMs: 20,
  };
  return one;
}

describe('what is sent to a node that may die of it', () => {
  it('is sent again until it is there', async () => {
    const twice = sending([silence, undefined], [{ version: 0 }, { version: 1 }]);
    await sendUntilTaken(twice);
    expect(twice.sent).toBe(2);
  });

  it('is not sent again where it is there without an answer', async () => {
    const once = sending([silence], [{ version: 1 }]);
    await sendUntilTaken(once);
    expect(once.sent).toBe(1);
  });

  it('is sent once more where the node was away for all the time there was', async () => {
    const late = sending([silence, undefined], [nothing, { version: 1 }]);
    const { look } = late;
    await sendUntilTaken({ ...late, send: late.send, look: () => sleep(40).then(look) });
    expect(late.sent).toBe(2);
  });

  it('has to be there once it was answered, and taken in the end', async () => {
    await expect(sendUntilTaken(sending([undefined], [{ version: 0 }]))).rejects.toThrow(/was promised: .*version 0/);
    await expect(sendUntilTaken(sending([silence], [nothing]))).rejects.toThrow(/was not taken, sent \d+ times/);
  });
});
