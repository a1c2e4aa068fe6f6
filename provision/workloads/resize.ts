/** The change of what only has a size: storaged makes it larger where it lies. */
import type { Calling, Step } from './workload.ts';

/** `resize` gives it so many bytes. Where storaged can not shrink it, undoing only confirms that it did not grow. */
export function resizeStep(
  before: number,
  after: number,
  resize: (size: number, calling: Calling) => Promise<unknown>,
): Step {
  return {
    name: 'resize',
    stage: 'storage',
    deadlineMs: 60_000,
    allocatesBytes: after - before,
    grows: true,
    ensure: async (calling) => void (await resize(after, calling)),
    undo: async (calling) => void (await resize(before, calling)),
  };
}
