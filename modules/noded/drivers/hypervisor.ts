/** Under which hypervisor this node itself runs. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** DMI texts that name a hypervisor; the processor's flag alone says only that there is one. */
const VENDORS: readonly (readonly [RegExp, string])[] = [
  [/QEMU|KVM|Google|DigitalOcean|Amazon EC2|OpenStack/i, 'kvm'],
  [/VMware/i, 'vmware'],
  [/VirtualBox|innotek/i, 'virtualbox'],
  [/Microsoft Corporation/i, 'hyperv'],
  [/Xen/i, 'xen'],
  [/Parallels/i, 'parallels'],
  [/bhyve/i, 'bhyve'],
];

/** Name of the hypervisor, `unknown` where one hides its name, empty on bare metal. */
export async function hypervisor(proc: string, sys: string): Promise<string> {
  const read = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '');
  const flags = /^flags\s*:.*\bhypervisor\b/m.test(await read(join(proc, 'cpuinfo')));
  const dmi = await Promise.all(
    ['sys_vendor', 'product_name', 'board_vendor'].map((name) => read(join(sys, 'class/dmi/id', name))),
  );
  const named = VENDORS.find(([pattern]) => pattern.test(dmi.join(' ')));
  if (named !== undefined && flags) return named[1];
  return flags ? 'unknown' : '';
}
