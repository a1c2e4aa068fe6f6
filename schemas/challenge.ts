/** What a deployment's signature and its contract's hash cover: texts joined without separators. */
import type { Deployment, Workload } from './deployment.ts';
import { md5, md5Hex } from './md5.ts';
import { loadData } from './validate.ts';
import { workloadType } from './workloads/index.ts';
import type { Piece } from './workloads/type.ts';

/**
 * How the challenge is made: as nodes do now, or as they did before September 2025, when a
 * `network-light` gave its WireGuard fields no part in it.
 */
export type Formula = 'current' | 'before-wireguard';

/** The formulas that give a deployment different challenges, the current one first. */
export function formulasOf({ workloads }: Deployment): Formula[] {
  const older = workloads.some(({ type, name }) => workloadType(type, name).olderChallenge !== undefined);
  return older ? ['current', 'before-wireguard'] : ['current'];
}

/** The formula by which a deployment has that hash (32 lower-case hex digits); `undefined` if none gives it. */
export function matchingFormula(deployment: Deployment, hash: string): Formula | undefined {
  return formulasOf(deployment).find((formula) => deploymentHash(deployment, formula) === hash);
}

/** Every part of the challenge with the path it comes from. Throws for unknown types and unreadable data. */
export function challengePieces(deployment: Deployment, formula: Formula = 'current'): Piece[] {
  const { requests, weight_required, signature_style } = deployment.signature_requirement;
  return [
    ['version', String(deployment.version)],
    ['twin_id', String(deployment.twin_id)],
    ['metadata', deployment.metadata],
    ['description', deployment.description],
    ['expiration', String(deployment.expiration)],
    ...deployment.workloads.flatMap((workload, i) =>
      workloadPieces(workload, formula).map(([path, text]): Piece => [`workloads[${i}].${path}`, text]),
    ),
    ...requests.flatMap((request, i): Piece[] => [
      [`signature_requirement.requests[${i}].twin_id`, String(request.twin_id)],
      [`signature_requirement.requests[${i}].required`, String(request.required)],
      [`signature_requirement.requests[${i}].weight`, String(request.weight)],
    ]),
    ['signature_requirement.weight_required', String(weight_required)],
    ['signature_requirement.signature_style', signature_style],
  ];
}

function workloadPieces(workload: Workload, formula: Formula): Piece[] {
  return [
    ['version', String(workload.version)],
    ['name', workload.name],
    ['type', workload.type],
    ['metadata', workload.metadata],
    ['description', workload.description],
    ...dataPieces(workload, formula).map(([path, text]): Piece => [`data.${path}`, text]),
  ];
}

function dataPieces(workload: Workload, formula: Formula): Piece[] {
  const type = workloadType(workload.type, workload.name);
  const pieces = formula === 'current' ? type.challenge : (type.olderChallenge ?? type.challenge);
  return pieces(loadData(type, workload));
}

/** The challenge text: the pieces without their paths. */
export function challenge(deployment: Deployment, formula: Formula = 'current'): string {
  const { version, twin_id, metadata, description, expiration, workloads } = deployment;
  const { requests, weight_required, signature_style } = deployment.signature_requirement;
  let text = `${version}${twin_id}${metadata}${description}${expiration}`;
  for (const workload of workloads) {
    text += `${workload.version}${workload.name}${workload.type}${workload.metadata}${workload.description}`;
    for (const [, piece] of dataPieces(workload, formula)) text += piece;
  }
  for (const request of requests) text += `${request.twin_id}${request.required}${request.weight}`;
  return `${text}${weight_required}${signature_style}`;
}

/** 32 lower-case hex digits: the hash a node contract carries, as ASCII, on chain. */
export function deploymentHash(deployment: Deployment, formula: Formula = 'current'): string {
  return md5Hex(challenge(deployment, formula));
}

/** The bytes signers sign: the 16 bytes of the hash, or for `polka-wallet` its hex in `<Bytes>` tags. */
export function signedMessage(deployment: Deployment, formula: Formula = 'current'): Uint8Array {
  if (deployment.signature_requirement.signature_style === 'polka-wallet') {
    return new TextEncoder().encode(`<Bytes>${deploymentHash(deployment, formula)}</Bytes>`);
  }
  return md5(challenge(deployment, formula));
}
