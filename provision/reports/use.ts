/** What a contract's running workloads use, as the chain bills it. */
import type { Resources } from '../../modules/api-gateway/interface.ts';
import type { Infer } from '../../modules/zbus/wire.ts';
import { runningWorkloads } from '../report.ts';
import type { DeploymentRecord } from '../store/journal.ts';

export type Used = Infer<typeof Resources>;

/** Declared needs of the workloads that run or are paused: vCPUs and bytes. Nothing of a deployment that is gone. */
export function useOf(record: DeploymentRecord | undefined): Used {
  const used = { HRU: 0, SRU: 0, CRU: 0, MRU: 0 };
  for (const { held } of record === undefined ? [] : runningWorkloads(record)) {
    if (held === undefined) continue;
    used.CRU += held.vcpus;
    used.MRU += held.memoryBytes;
    for (const { media, bytes } of held.allocations) used[media === 'ssd' ? 'SRU' : 'HRU'] += bytes;
  }
  return { HRU: BigInt(used.HRU), SRU: BigInt(used.SRU), CRU: BigInt(used.CRU), MRU: BigInt(used.MRU) };
}

export function textOfUse({ HRU, SRU, CRU, MRU }: Used): string {
  return [HRU, SRU, CRU, MRU].join(' ');
}

/** Of what `textOfUse` wrote. */
export function useOfText(text: string): Used {
  const [HRU = 0n, SRU = 0n, CRU = 0n, MRU = 0n] = text.split(' ').filter(Boolean).map(BigInt);
  return { HRU, SRU, CRU, MRU };
}
