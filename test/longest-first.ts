/** The order of the test files. */
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Long ones in small files: by size, the usual order, they would come last and leave the other workers without work. */
export const LONG_AND_SMALL = [
  'test/faults/real/points.test.ts',
  'test/system/bad-images.test.ts',
  'test/system/kill-while-running.test.ts',
  'test/faults/gateway/points.test.ts',
  'test/faults/node/points-1-of-4.test.ts',
  'test/faults/node/points-2-of-4.test.ts',
  'test/faults/node/points-3-of-4.test.ts',
  'test/faults/node/points-4-of-4.test.ts',
  'test/faults/node/twice.test.ts',
];

export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const others = new Set(await super.sort(files));
    const first = LONG_AND_SMALL.flatMap((name) => [...others].filter(({ moduleId }) => moduleId.endsWith(`/${name}`)));
    return [...new Set([...first, ...others])];
  }
}
