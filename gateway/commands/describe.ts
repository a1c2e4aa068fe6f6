import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { apiDescribe } from '../../schemas/index.ts';
import { handle } from './handler.ts';

const document = join(import.meta.dirname, '..', '..', 'schemas', 'openrpc.json');

/** The committed document without its indentation; its integers of 64 bits stay text, so none is rounded. */
const described = readFileSync(document, 'utf8').replaceAll(/\n\s*/g, '');

export const describeHandlers = [handle(apiDescribe, () => described)];
