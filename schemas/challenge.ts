/** What a deployment's signature and its contract's hash cover: texts joined without separators. */
import type { Deployment, Workload } from './deployment.ts';
import { md5, md5Hex } from './md5.ts';
import { loadData } from './validate.ts';
import { workloadType } from './workloads/index.ts';
import type { Piece } from './workloads/type.ts';

/** Every part of the challenge with the path it comes from. Throws for types that are not described here. */
export function challengePieces(deployment: Deployment): Piece[] {
  const { requests, weight_required, signature_style } = deployment.signature_requirement;
  return [
    ['version', String(deployment.version)],
    ['twin_id', String(deployment.twin_id)],
    ['metadata', deployment.metadata],
    ['description', deployment.description],
    ['expiration', String(deployment.expiration)],
    ...deployment.workloads.flatMap((workload, i) =>
      workloadPieces(workload).map(([path, text]): Piece => [`workloads[${i}].${path}`, text]),
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

function workloadPieces(workload: Workload): Piece[] {
  const type = workloadType(workload.type, workload.name);
  const data = type.challenge(loadData(type, workload)).map(([path, text]): Piece => [`data.${path}`, text]);
  return [
    ['version', String(workload.version)],
    ['name', workload.name],
    ['type', workload.type],
    ['metadata', workload.metadata],
    ['description', workload.description],
    ...data,
  ];
}

/** The challenge text. */
export function challenge(deployment: Deployment): string {
  return challengePieces(deployment)
    .map(([, text]) => text)
    .join('');
}

/** 32 lower-case hex digits: the hash a node contract carries, as ASCII, on chain. */
export function deploymentHash(deployment: Deployment): string {
  return md5Hex(challenge(deployment));
}

/** The bytes signers sign: the 16 bytes of the hash, or for `polka-wallet` its hex in `<Bytes>` tags. */
export function signedMessage(deployment: Deployment): Uint8Array {
  if (deployment.signature_requirement.signature_style === 'polka-wallet') {
    return new TextEncoder().encode(`<Bytes>${deploymentHash(deployment)}</Bytes>`);
  }
  return md5(challenge(deployment));
}
