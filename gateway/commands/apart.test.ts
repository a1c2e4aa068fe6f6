import { describe, expect, it } from 'vitest';
import { isGridError } from '../../schemas/index.ts';
import { Apart, boundsOf } from './apart.ts';

const refusal = (work: () => unknown): unknown => {
  try {
    work();
    return undefined;
  } catch (error) {
    return isGridError(error, 'command_places') ? error.details : error;
  }
};

describe('long commands', () => {
  it('have a bound a twin and in all, and give their places back once', () => {
    const apart = new Apart({ wait: { perTwin: 2, inAll: 3 }, slow: { perTwin: 1, inAll: 1 } });
    const wait = (twin: number) => apart.enter('zos.deployment.wait', twin);
    const leave = wait(1);
    wait(1);
    expect(refusal(() => wait(1))).toMatchObject({ whose: 'twin', twin: 1, running: 2, limit: 2 });
    wait(2);
    expect(refusal(() => wait(3))).toMatchObject({ whose: 'all', running: 3, limit: 3 });
    // The other kind, and short commands, have places of their own.
    apart.enter('zos.deployment.plan', 1);
    for (let index = 0; index < 100; index++) apart.enter('zos.deployment.deploy', 1);
    expect(refusal(() => apart.enter('zos.debug.deployment.health', 2))).toMatchObject({ whose: 'all' });
    leave();
    leave();
    wait(3);
    expect(refusal(() => wait(3))).toMatchObject({ whose: 'all' });
  });

  it('never take more than a quarter of what the door lets in', () => {
    expect(boundsOf({ concurrencyPerTwin: 256, concurrency: 768 })).toEqual({
      wait: { perTwin: 8, inAll: 64 },
      slow: { perTwin: 4, inAll: 16 },
    });
    expect(boundsOf({ concurrencyPerTwin: 12, concurrency: 40 })).toEqual({
      wait: { perTwin: 3, inAll: 10 },
      slow: { perTwin: 3, inAll: 10 },
    });
    expect(boundsOf({ concurrencyPerTwin: 1, concurrency: 1 }).wait).toEqual({ perTwin: 1, inAll: 1 });
  });
});
