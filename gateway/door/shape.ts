/** Check 1: a request of the one shape that nodes answer. */
import type { GridError } from '../../schemas/errors/index.ts';
import { type Envelope, findFieldProblem } from '../rmb/envelope.ts';

export type Ignored = 'not_a_request' | 'schema' | 'no_payload';

/**
 * A refusal for fields that no peer writes, or the reason why existing nodes
 * drop such an envelope without a word, which clients count on.
 */
export function checkShape(envelope: Envelope): GridError | Ignored | undefined {
  if (envelope.message.case !== 'request') return 'not_a_request';
  const problem = findFieldProblem(envelope);
  if (problem !== undefined) return problem;
  if (envelope.schema !== 'application/json') return 'schema';
  if (envelope.payload.case === undefined) return 'no_payload';
  return undefined;
}
