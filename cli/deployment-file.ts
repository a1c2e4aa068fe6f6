/** Deployments that commands read from a file or from standard input. */
import { stat } from 'node:fs/promises';
import { type Deployment, GridError, MAX_DEPLOYMENT_BYTES, parseDeployment } from '../schemas/index.ts';
import { readInput, unreadable } from './rmb/input.ts';

/** The deployment of a file (`-`: standard input); throws a `GridError` for what a node would not read. */
export async function readDeploymentFile(name: string): Promise<Deployment> {
  const bytes = name === '-' ? 0 : await sizeOf(name);
  if (bytes > MAX_DEPLOYMENT_BYTES) {
    throw new GridError('deployment_too_large', { bytes, limit: MAX_DEPLOYMENT_BYTES });
  }
  const source = await readInput(name);
  if (source === undefined) throw unreadable(name, 'ENOENT');
  return parseDeployment(source);
}

async function sizeOf(name: string): Promise<number> {
  try {
    const { size } = await stat(name);
    return size;
  } catch (error) {
    throw unreadable(name, (error as NodeJS.ErrnoException).code);
  }
}
