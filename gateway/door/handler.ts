/** Runs what was let in and answers it, whatever the one that runs it does. */
import type { Logger } from 'pino';
import { GridError } from '../../schemas/errors/index.ts';
import { type Answer, refusalAnswer } from '../rmb/answer.ts';
import type { AdmittedRequest } from './verdict.ts';

export type Run = (request: AdmittedRequest) => Promise<Answer>;

/** Characters of an error's text; receivers refuse envelopes with longer ones than 64 KiB. */
const MAX_ERROR_CHARACTERS = 4096;

/** Never rejects; the request's place is free afterwards. `onUnsent` is told when the answer reached no relay. */
export async function answerRequest(
  request: AdmittedRequest,
  run: Run,
  log: Logger,
  onUnsent: () => void,
): Promise<void> {
  try {
    await request.reply(await answerOf(request, run, log));
  } catch (error) {
    onUnsent();
    log.warn({ twin: request.twin.id, uid: request.uid, reason: textOf(error) }, 'answer not sent');
  } finally {
    request.leave();
  }
}

async function answerOf(request: AdmittedRequest, run: Run, log: Logger): Promise<Answer> {
  try {
    return bounded(await run(request));
  } catch (error) {
    if (!(error instanceof GridError)) return crashed(error, log);
    try {
      return bounded(refusalAnswer(error));
    } catch (cause) {
      // Details that are no JSON.
      return crashed(cause, log);
    }
  }
}

function bounded(answer: Answer): Answer {
  if (answer.kind === 'response') return { kind: 'response', payload: answer.payload };
  if (answer.kind !== 'error') throw new TypeError('the handler gave no answer');
  const message = `${answer.message}`.slice(0, MAX_ERROR_CHARACTERS).toWellFormed();
  return { ...answer, message };
}

/** A defect of ours: the text clients know, the rest in the log. */
function crashed(error: unknown, log: Logger): Answer {
  const text = textOf(error);
  log.error(error instanceof Error ? { err: error } : { reason: text }, 'request handler crashed');
  return { kind: 'error', code: 0, message: `handler panicked with: ${text}` };
}

function textOf(thrown: unknown): string {
  try {
    const text = String(thrown instanceof Error ? thrown.message : thrown);
    return text.slice(0, MAX_ERROR_CHARACTERS / 2).toWellFormed();
  } catch {
    return 'a value without text';
  }
}
