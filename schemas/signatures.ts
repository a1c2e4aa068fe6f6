/** Who must have signed a deployment, and whether they have. */
import { type Formula, formulasOf, signedMessage } from './challenge.ts';
import type { Deployment } from './deployment.ts';
import { GridError, isGridError } from './errors/index.ts';
import { hexProblem } from './gojson/values.ts';

export type SignatureType = 'ed25519' | 'sr25519';

/** Nodes set no bound; each request costs a key look-up and a verification. */
export const MAX_SIGNATURE_REQUESTS = 64;

/**
 * Whether a signature of a twin is right. Fails (throws) only if the twin's key cannot be had; a
 * signature of a wrong length is `false`.
 */
export type VerifySignature = (
  twinId: number,
  type: SignatureType,
  message: Uint8Array,
  signature: Uint8Array,
) => Promise<boolean>;

/**
 * What becomes of a signer who is not required and did not sign. `refused`: as on the grid's other nodes, which
 * check an empty signature then. `skipped`: adds no weight, so that two of three may do.
 */
export type AbsentSigners = 'refused' | 'skipped';

/**
 * Checks every signature the deployment asks for; throws the `GridError` of the first that fails. The
 * originator always must sign. A signature that is there must be right, required or not. Returns the
 * formula of the challenge that was signed.
 */
export async function verifySignatures(
  deployment: Deployment,
  verify: VerifySignature,
  absent: AbsentSigners = 'refused',
): Promise<Formula> {
  const { requests } = deployment.signature_requirement;
  if (requests.length > MAX_SIGNATURE_REQUESTS) {
    throw new GridError('signature_requests_too_many', { requests: requests.length, limit: MAX_SIGNATURE_REQUESTS });
  }
  let mismatch: unknown;
  for (const formula of formulasOf(deployment)) {
    try {
      await verifyMessage(deployment, signedMessage(deployment, formula), verify, absent);
      return formula;
    } catch (error) {
      if (!isGridError(error, 'signature_mismatch')) throw error;
      // What is said of the current formula is said.
      mismatch ??= error;
    }
  }
  throw mismatch;
}

async function verifyMessage(
  deployment: Deployment,
  message: Uint8Array,
  verify: VerifySignature,
  absent: AbsentSigners,
): Promise<void> {
  const { requests, signatures, weight_required } = deployment.signature_requirement;
  let originator = false;
  let weight = 0;
  for (const { twin_id: twin, required, weight: ownWeight } of requests) {
    const isOriginator = twin === deployment.twin_id;
    originator ||= isOriginator;
    const found = signatures.find((signature) => signature.twin_id === twin);
    const isNeeded = required || isOriginator;
    if (found === undefined && isNeeded) throw new GridError('signature_missing', { twin });
    if (absent === 'skipped' && !isNeeded && (found === undefined || found.signature === '')) continue;
    const { signature, signature_type } = found ?? { signature: '', signature_type: '' };
    const reason = hexProblem(signature);
    if (reason !== undefined) throw new GridError('signature_undecodable', { twin, reason });
    const type = signature_type === 'sr25519' ? 'sr25519' : 'ed25519';
    if (!(await asked(verify(twin, type, message, fromHex(signature)), twin))) {
      throw new GridError('signature_mismatch', { twin, type });
    }
    weight += ownWeight;
  }
  if (!originator) throw new GridError('signature_originator_missing', { twin: deployment.twin_id });
  if (weight < weight_required) throw new GridError('signature_weight', { required: weight_required, reached: weight });
}

async function asked(verification: Promise<boolean>, twin: number): Promise<boolean> {
  try {
    return await verification;
  } catch (error) {
    // A node's reader of keys says the same sentence with the reason in it: it is said once.
    const inner = isGridError(error, 'twin_unreadable') ? error.details.reason : undefined;
    const reason = inner ?? (error instanceof Error ? error.message : String(error));
    throw new GridError('signature_key_unavailable', { twin, reason }, { cause: error });
  }
}

function fromHex(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(text.slice(i * 2, i * 2 + 2), 16);
  return bytes;
}
