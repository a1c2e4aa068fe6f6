/** Graphics processors on the PCI bus that a machine could be given whole. */
import { createReadStream } from 'node:fs';
import { access, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { HostGpu } from './host.ts';

/** Display controllers of these vendors compute; those of other vendors show a console. */
const VENDORS: ReadonlySet<string> = new Set(['1002', '10de', '8086']);
const DISPLAY_CONTROLLER = /^0x03/;
/** Graphics within the processor sit on the first bus, and the host needs them. */
const FIRST_BUS = /^0000:00:/;
const SLOT = /^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/;
const UNKNOWN = 'unknown';
const MIB = 1024 * 1024;

interface PciDevice {
  readonly slot: string;
  readonly vendor: string;
  readonly device: string;
  readonly vram: number;
}

/**
 * `sys`: where sysfs is mounted; `idFiles`: where the list of PCI names may be. Only a device
 * that the kernel has put into an IOMMU group can be handed to a machine.
 */
export async function readGpus(sys: string, idFiles: readonly string[]): Promise<HostGpu[]> {
  const folder = join(sys, 'bus/pci/devices');
  const slots = (await readdir(folder).catch(() => [])).filter((slot) => SLOT.test(slot)).sort();
  const found: PciDevice[] = [];
  for (const slot of slots) {
    const device = await readDevice(folder, slot);
    if (device !== undefined) found.push(device);
  }
  const names = found.length === 0 ? new Map<string, string>() : await readNames(idFiles, found);
  return found.map(({ slot, vendor, device, vram }) => ({
    ID: `${slot}/${vendor}/${device}`,
    Vendor: names.get(vendor) ?? UNKNOWN,
    Device: names.get(`${vendor}/${device}`) ?? UNKNOWN,
    Vram: vram,
  }));
}

async function readDevice(folder: string, slot: string): Promise<PciDevice | undefined> {
  const read = async (name: string): Promise<string> =>
    (await readFile(join(folder, slot, name), 'utf8').catch(() => '')).trim();
  if (FIRST_BUS.test(slot) || !DISPLAY_CONTROLLER.test(await read('class'))) return undefined;
  const [vendor, device] = [hexDigits(await read('vendor')), hexDigits(await read('device'))];
  if (vendor === undefined || device === undefined || !VENDORS.has(vendor)) return undefined;
  const isolated = await access(join(folder, slot, 'iommu_group')).then(
    () => true,
    () => false,
  );
  if (!isolated) return undefined;
  // The driver of AMD tells; others do not, and neither does a card that no driver holds.
  const bytes = Number(await read('mem_info_vram_total'));
  return { slot, vendor, device, vram: Number.isSafeInteger(bytes) ? Math.floor(bytes / MIB) : 0 };
}

/** `0x731F` as `731f`. */
function hexDigits(text: string): string | undefined {
  return /^0x([0-9a-f]{4})$/i.exec(text)?.[1]?.toLowerCase();
}

/** Names by `vendor` and `vendor/device`, from the first list that is there. */
async function readNames(idFiles: readonly string[], wanted: readonly PciDevice[]): Promise<Map<string, string>> {
  const names = new Map<string, string>();
  const keys = new Set(wanted.flatMap(({ vendor, device }) => [vendor, `${vendor}/${device}`]));
  for (const path of idFiles) {
    if (!(await isReadable(path))) continue;
    let vendor = '';
    for await (const line of createInterface({ input: createReadStream(path) })) {
      const [, indent, id = '', name = ''] = /^(\t?)([0-9a-f]{4}) +(.+)$/.exec(line) ?? [];
      if (indent === undefined) {
        // Classes of devices follow the vendors, with numbers of their own.
        if (line.startsWith('C ')) break;
        continue;
      }
      if (indent === '') vendor = id;
      const key = indent === '' ? id : `${vendor}/${id}`;
      if (keys.has(key)) names.set(key, name.trim());
      if (names.size === keys.size) break;
    }
    return names;
  }
  return names;
}

async function isReadable(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
