import { describe, expect, it } from 'vitest';
import { parseDmi } from './dmi.ts';

const SERVER = `# dmidecode 3.4
Getting SMBIOS data from sysfs.
SMBIOS 3.2.1 present.
# SMBIOS implementations newer than version 3.1.1 are not
# fully supported by this version of dmidecode.
Table at 0x000E6CC0.

Handle 0x0000, DMI type 0, 26 bytes
BIOS Information
\tVendor: American Megatrends Inc.
\tVersion: 2.1: beta
\tROM Size: 32 MB
\tCharacteristics:
\t\tPCI is supported
\t\tBIOS is upgradeable
\tBIOS Revision: 5.14

Handle 0x0001, DMI type 1, 27 bytes
System Information
\tManufacturer: Supermicro
\tSerial Number:
\tUUID: 00000000-0000-0000-0000-ac1f6b000000

Handle 0x002A, DMI type 10, 8 bytes
On Board Device 1 Information
\tType: Video
\tStatus: Enabled
On Board Device 2 Information
\tType: Ethernet

Handle 0x0031, DMI type 11, 5 bytes
OEM Strings
\tString 1: Intel Haswell
\tString 2: To be filled by O.E.M.

Handle 0x0040, DMI type 221, 26 bytes
OEM-specific Type
\tHeader and Data:
\t\tDD 1A 40 00 03 01 00 04 01 00 08 00 02 00 00 00
\t\t00 10 00 03 00 00 05 00 00 00
\tStrings:
\t\tReference Code - CPU

Handle 0x0041, DMI type 127, 4 bytes
End Of Table

`;

describe('the table as dmidecode prints it', () => {
  const { program, sections } = parseDmi(SERVER);
  const section = (type: number) => sections.find(({ TypeNumber }) => TypeNumber === type);

  it('has its program, and each handle with its type', () => {
    expect(program).toBe('dmidecode 3.4');
    expect(sections.map(({ TypeNumber, Type }) => [TypeNumber, Type])).toEqual([
      [0, 'BIOS'],
      [1, 'System'],
      [10, 'On Board Devices'],
      [11, 'OEM Strings'],
      [221, ''],
      [127, ''],
    ]);
    expect(section(0)?.HandleLine).toBe('Handle 0x0000, DMI type 0, 26 bytes');
  });

  it('has values, also empty ones and those with a colon, and the lines below them', () => {
    expect(section(0)?.SubSections).toEqual([
      {
        Title: 'BIOS Information',
        Properties: [
          { Name: 'Vendor', Value: 'American Megatrends Inc.', Items: [] },
          { Name: 'Version', Value: '2.1: beta', Items: [] },
          { Name: 'ROM Size', Value: '32 MB', Items: [] },
          { Name: 'Characteristics', Value: '', Items: ['PCI is supported', 'BIOS is upgradeable'] },
          { Name: 'BIOS Revision', Value: '5.14', Items: [] },
        ],
      },
    ]);
    expect(section(1)?.SubSections[0]?.Properties[1]).toEqual({ Name: 'Serial Number', Value: '', Items: [] });
  });

  it('has every heading of a handle that holds several', () => {
    expect(section(10)?.SubSections.map(({ Title, Properties }) => [Title, Properties.length])).toEqual([
      ['On Board Device 1 Information', 2],
      ['On Board Device 2 Information', 1],
    ]);
  });

  it('keeps what a vendor put there', () => {
    const [part] = section(221)?.SubSections ?? [];
    expect(part?.Title).toBe('OEM-specific Type');
    expect(part?.Properties.map(({ Name, Items }) => [Name, Items.length])).toEqual([
      ['Header and Data', 2],
      ['Strings', 1],
    ]);
    expect(section(127)?.SubSections).toEqual([{ Title: 'End Of Table', Properties: [] }]);
  });

  it('keeps every value of a name that comes again', () => {
    const { sections: found } = parseDmi(
      '# dmidecode 3.3\n\nHandle 0x1, DMI type 40, 9 bytes\nAdditional Information\n' +
        '\tReferenced Handle: 0x01\n\tReferenced Handle: 0x02\n\tReferenced Handle: 0x03\n',
    );
    expect(found[0]?.SubSections[0]?.Properties).toEqual([
      { Name: 'Referenced Handle', Value: '0x01', Items: ['0x02', '0x03'] },
    ]);
  });

  it('reads a small table of a virtual machine, with remarks between its lines', () => {
    const text = `# dmidecode 3.5
Getting SMBIOS data from sysfs.
SMBIOS 2.8 present.
10 structures occupying 532 bytes.
Table at 0x000F5A40.

Handle 0x0100, DMI type 1, 27 bytes
System Information
\tManufacturer: QEMU
# a remark of the program
\tProduct Name: Standard PC (Q35 + ICH9, 2009)

Handle 0x1100, DMI type 17, 40 bytes
Memory Device
\tSize: 2 GB
\t<BAD INDEX>

Invalid entry length (0). DMI table is broken! Stop.
`;
    const found = parseDmi(text).sections;
    expect(found.map(({ TypeNumber }) => TypeNumber)).toEqual([1, 17]);
    expect(found[0]?.SubSections[0]?.Properties.map(({ Value }) => Value)).toEqual([
      'QEMU',
      'Standard PC (Q35 + ICH9, 2009)',
    ]);
    expect(found[1]?.SubSections[0]?.Properties[1]).toEqual({ Name: '<BAD INDEX>', Value: '', Items: [] });
  });

  it.each([
    [
      'no table',
      '# dmidecode 3.4\nScanning /dev/mem for entry point.\n# No SMBIOS nor DMI entry point found, sorry.\n',
    ],
    ['nothing', ''],
    ['other text', 'Handle me, DMI type x\n\tA: b\n'],
  ])('finds no section in %s', (_what, text) => {
    expect(parseDmi(text).sections).toEqual([]);
  });
});
