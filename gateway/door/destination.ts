/** Check 2: meant for us. A relay could hand one twin's signed request to another. */
import { GridError } from '../../schemas/errors/index.ts';
import type { Envelope } from '../rmb/envelope.ts';

export function checkDestination(
  envelope: Envelope,
  self: { readonly twinId: number; readonly session: string | undefined },
): GridError | undefined {
  const { destination } = envelope;
  if (destination?.twin === self.twinId && destination.connection === self.session) return undefined;
  return new GridError('destination_not_here', {
    twin: destination?.twin ?? 0,
    session: destination?.connection ?? null,
    expectedTwin: self.twinId,
    expectedSession: self.session ?? null,
  });
}
