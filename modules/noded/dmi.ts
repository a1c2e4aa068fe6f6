/** The text that dmidecode prints, as sections, subsections and properties. */
import type { Infer } from '../zbus/wire.ts';
import type { DmiProperty, DmiSection, DmiSubSection } from './interface.ts';

type Section = Infer<typeof DmiSection>;
type SubSection = Infer<typeof DmiSubSection>;
type Property = Infer<typeof DmiProperty>;

export interface DmiText {
  /** `dmidecode 3.4`, as the program calls itself. */
  readonly program: string;
  readonly sections: readonly Section[];
}

/** Names of the types of the SMBIOS standard, in the program's words. */
const TYPES: readonly string[] = [
  'BIOS',
  'System',
  'Baseboard',
  'Chassis',
  'Processor',
  'Memory Controller',
  'Memory Module',
  'Cache',
  'Port Connector',
  'System Slots',
  'On Board Devices',
  'OEM Strings',
  'System Configuration Options',
  'BIOS Language',
  'Group Associations',
  'System Event Log',
  'Physical Memory Array',
  'Memory Device',
  '32-bit Memory Error',
  'Memory Array Mapped Address',
  'Memory Device Mapped Address',
  'Built-in Pointing Device',
  'Portable Battery',
  'System Reset',
  'Hardware Security',
  'System Power Controls',
  'Voltage Probe',
  'Cooling Device',
  'Temperature Probe',
  'Electrical Current Probe',
  'Out-of-band Remote Access',
  'Boot Integrity Services',
  'System Boot',
  '64-bit Memory Error',
  'Management Device',
  'Management Device Component',
  'Management Device Threshold Data',
  'Memory Channel',
  'IPMI Device',
  'Power Supply',
  'Additional Information',
  'Onboard Devices Extended Information',
  'Management Controller Host Interface',
  'TPM Device',
];

const HANDLE = /^Handle 0x[0-9A-Fa-f]+, DMI type (\d+), \d+ bytes$/;

/** Reads line by line; what belongs to no handle, as remarks of the program, is passed over. */
export function parseDmi(text: string): DmiText {
  const sections: Section[] = [];
  let section: Section | undefined;
  let part: SubSection | undefined;
  let property: Property | undefined;
  for (const raw of text.split('\n')) {
    const line = raw.trimEnd();
    const type = HANDLE.exec(line)?.[1];
    if (type !== undefined) {
      section = { HandleLine: line, Type: TYPES[Number(type)] ?? '', TypeNumber: Number(type), SubSections: [] };
      sections.push(section);
      part = undefined;
    } else if (line === '') {
      section = undefined;
    } else if (section === undefined || line.startsWith('#')) {
      // A remark, or what is before the first handle.
    } else if (!line.startsWith('\t')) {
      part = { Title: line, Properties: [] };
      property = undefined;
      section.SubSections.push(part);
    } else if (line.startsWith('\t\t')) {
      property?.Items.push(line.trim());
    } else if (part !== undefined) {
      property = addProperty(part, line.trim());
    }
  }
  return { program: /^# (dmidecode \S+)/m.exec(text)?.[1] ?? 'dmidecode', sections };
}

/** A name that comes again is one property: its further values are items. */
function addProperty(part: SubSection, line: string): Property {
  const at = /:(?: |$)/.exec(line)?.index ?? line.length;
  const [name, value] = [line.slice(0, at), line.slice(at + 1).trim()];
  const known = part.Properties.find(({ Name }) => Name === name);
  if (known !== undefined) {
    if (value !== '') known.Items.push(value);
    return known;
  }
  const property = { Name: name, Value: value, Items: [] };
  part.Properties.push(property);
  return property;
}
