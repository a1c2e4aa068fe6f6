/** The limits an operator wrote down: a JSON object with any of the names in `limits.ts`. */
import { open } from 'node:fs/promises';
import { DEFAULT_DOOR_LIMITS, type DoorLimits, doorLimits } from './limits.ts';

const MAX_FILE_BYTES = 64 * 1024;

/** The limits in the file, the rest as usual. Throws naming file, field and what is accepted. */
export async function readLimits(path: string | undefined): Promise<DoorLimits> {
  if (path === undefined) return DEFAULT_DOOR_LIMITS;
  const refuse = (problem: string): never => {
    throw new Error(`limits file ${path}: ${problem}`);
  };
  let content: unknown;
  try {
    content = JSON.parse(await readBounded(path));
  } catch (error) {
    return refuse((error as Error).message);
  }
  const parsed = doorLimits.safeParse(content);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(({ path: field, message }) =>
    field.length === 0 ? message : `${field.join('.')}: ${message}`,
  );
  return refuse(problems.join('; '));
}

async function readBounded(path: string): Promise<string> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    if (size > MAX_FILE_BYTES) throw new Error(`has ${size} bytes, at most ${MAX_FILE_BYTES} are read`);
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}
