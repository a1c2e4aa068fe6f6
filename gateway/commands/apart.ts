/**
 * Commands that take long are bounded apart from all others: whatever waits for an engine or looks at
 * half the host never has the places that a deployment needs.
 */
import { GridError } from '../../schemas/errors/index.ts';

export type Kind = 'wait' | 'slow';

/** Every other command is short. */
const kinds: ReadonlyMap<string, Kind> = new Map([
  ['zos.deployment.wait', 'wait'],
  ['zos.deployment.plan', 'slow'],
  ['zos.system.diagnostics', 'slow'],
  ['zos.system.dmi', 'slow'],
  ['zos.debug.deployment.list', 'slow'],
  ['zos.debug.deployment.get', 'slow'],
  ['zos.debug.deployment.history', 'slow'],
  ['zos.debug.deployment.info', 'slow'],
  ['zos.debug.deployment.health', 'slow'],
]);

export interface Bound {
  readonly perTwin: number;
  readonly inAll: number;
}

/** Bounds of each kind where the door lets in so many requests: never more than a quarter of them. */
export function boundsOf(door: {
  readonly concurrencyPerTwin: number;
  readonly concurrency: number;
}): Record<Kind, Bound> {
  const within = (most: number, of: number): number => Math.max(1, Math.min(most, Math.floor(of / 4)));
  const bound = (perTwin: number, inAll: number): Bound => ({
    perTwin: within(perTwin, door.concurrencyPerTwin),
    inAll: within(inAll, door.concurrency),
  });
  return { wait: bound(8, 64), slow: bound(4, 16) };
}

/** Places of long commands. */
export class Apart {
  readonly #bounds: Readonly<Record<Kind, Bound>>;
  readonly #running: Record<Kind, Map<number, number>> = { wait: new Map(), slow: new Map() };

  constructor(bounds: Readonly<Record<Kind, Bound>>) {
    this.#bounds = bounds;
  }

  /** Gives the place back when called, once. Throws `command_places`. */
  enter(command: string, twin: number): () => void {
    const kind = kinds.get(command);
    if (kind === undefined) return () => undefined;
    const { perTwin, inAll } = this.#bounds[kind];
    const places = this.#running[kind];
    const ofTwin = places.get(twin) ?? 0;
    const all = [...places.values()].reduce((sum, one) => sum + one, 0);
    if (ofTwin >= perTwin || all >= inAll) {
      const whose = ofTwin >= perTwin ? 'twin' : 'all';
      const [running, limit] = whose === 'twin' ? [ofTwin, perTwin] : [all, inAll];
      throw new GridError('command_places', { command, twin, whose, running, limit, retryAfterSeconds: 1 });
    }
    places.set(twin, ofTwin + 1);
    let left = false;
    return () => {
      if (left) return;
      left = true;
      const now = (places.get(twin) ?? 1) - 1;
      if (now > 0) places.set(twin, now);
      else places.delete(twin);
    };
  }
}
