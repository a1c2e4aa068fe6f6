/** KVM that really runs a guest, not only a device file. */
import { join } from 'node:path';
import { probeKvm } from '../../modules/vmd/qemu/kvm.ts';
import { checkout } from '../node/layout.ts';
import type { Finding } from './checks.ts';

export async function checkKvm(): Promise<Finding> {
  const { works, reason } = await probeKvm({ stateDir: join(checkout, '.tools') });
  return works
    ? { check: 'kvm', state: 'ok', found: reason, remedy: '' }
    : {
        check: 'kvm',
        state: 'warn',
        found: reason,
        remedy:
          'machines run under software emulation, about ten times slower; enable virtualisation in the firmware or the hypervisor above',
      };
}
