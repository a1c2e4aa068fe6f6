import { limitsGet } from '../../schemas/index.ts';
import { handle } from './handler.ts';

export const limitsHandlers = [handle(limitsGet, (_input, { limits }) => limits())];
