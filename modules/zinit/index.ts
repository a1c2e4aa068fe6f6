/** The supervisor's published surface. */
export { ZinitClient } from './control.ts';
export { isAlive, killGroup, markProcess, type ProcessMark, signalProcess } from './process.ts';
export type { UnitState, UnitStatus } from './runner.ts';
export { parseUnit, type Unit, UnitError } from './unit.ts';
export { quoteWord } from './words.ts';
