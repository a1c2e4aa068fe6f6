/** zos.system.*, zos.gpu.*, zos.location.*: what the node is. */
import { described, list, map, omitEmpty, pointer, struct } from '../gojson/codec.ts';
import { bool, count, float64, text, uint64 } from '../gojson/values.ts';
import { defineCommand, nothing } from './command.ts';

export const systemVersion = defineCommand({
  name: 'zos.system.version',
  summary: 'Versions of the node software and its supervisor; clients use it as ping.',
  caller: 'any',
  input: nothing,
  output: struct(
    'Version',
    {
      zos: described(text, 'version of the node software'),
      zinit: described(text, 'version of its supervisor'),
    },
    'Versions of what runs on a node.',
  ),
});

export const systemHypervisor = defineCommand({
  name: 'zos.system.hypervisor',
  summary: 'Name of the hypervisor the node itself runs under, empty on bare metal.',
  caller: 'any',
  input: nothing,
  output: text,
});

export const systemNodeFeatures = defineCommand({
  name: 'zos.system.node_features_get',
  summary: 'Workload types and network features this node runs.',
  caller: 'any',
  input: nothing,
  output: list(text),
});

export const DmiProperty = struct(
  'dmi.PropertyData',
  {
    value: described(text, 'what stands behind the name'),
    items: described(omitEmpty(list(text)), 'lines that belong to it; left out when there are none'),
  },
  'A property of a piece of hardware.',
);

export const DmiSection = struct(
  'dmi.Section',
  {
    handleline: described(text, 'first line of the section: handle, type number and bytes'),
    typestr: described(omitEmpty(text), 'name of the type; left out when unknown'),
    typenum: described(count, 'DMI type'),
    subsections: described(
      list(
        struct(
          'dmi.SubSection',
          {
            title: described(text, 'heading'),
            properties: described(omitEmpty(map(DmiProperty)), 'by name; left out when there are none'),
          },
          'A part of a section.',
        ),
      ),
      'its parts',
    ),
  },
  'A piece of hardware as its firmware describes it.',
);

export const Dmi = struct(
  'dmi.DMI',
  {
    tooling: struct(
      'dmi.Tooling',
      {
        aggregator: described(text, 'program that read the table, with version'),
        decoder: described(text, 'program that made this of its output, with version'),
      },
      'What read the firmware.',
    ),
    sections: described(list(DmiSection), 'pieces of hardware'),
  },
  "The machine's hardware as its firmware describes it.",
);

export const systemDmi = defineCommand({
  name: 'zos.system.dmi',
  summary: "The machine's DMI table as dmidecode reads it.",
  caller: 'any',
  input: nothing,
  output: Dmi,
  errors: ['host_dmidecode_missing', 'host_dmi_unreadable'],
});

export const ModuleStatus = struct(
  'zbus.Status',
  {
    objects: described(
      list(
        struct(
          'zbus.ObjectID',
          {
            Name: described(text, 'name of the object'),
            Version: described(text, 'its version'),
          },
          'An object of a module.',
        ),
      ),
      'what it offers on the bus',
    ),
    workers: described(
      list(
        struct(
          'zbus.WorkerStatus',
          {
            state: described(text, '`free` or `busy`'),
            time: described(text, 'since when, RFC 3339'),
            action: described(text, 'what it works on; empty when free'),
          },
          'What one worker of a module does.',
        ),
      ),
      'those that answer calls',
    ),
  },
  'Objects and workers of a module.',
);

export const Diagnostics = struct(
  'diagnostics.Diagnostics',
  {
    system_status_ok: described(bool, 'whether every module told its state'),
    modules: described(
      map(
        struct(
          'diagnostics.ModuleStatus',
          {
            status: ModuleStatus,
            error: described(pointer(struct('error', {})), 'there, as an empty object, when the module told nothing'),
          },
          'How a module of the node is.',
        ),
      ),
      'by name of the module',
    ),
    healthy: described(bool, 'whether the last health check found nothing; not before one has run'),
  },
  'How all modules of a node are.',
);

export const systemDiagnostics = defineCommand({
  name: 'zos.system.diagnostics',
  summary: "State of the node's modules and of its last health check.",
  caller: 'any',
  input: nothing,
  output: Diagnostics,
});

export const Gpu = struct(
  'pkg.GPUInfo',
  {
    id: described(text, 'PCI slot / vendor id / device id, lower-case hex'),
    vendor: described(text, 'name of the vendor, or `unknown`'),
    device: described(text, 'name of the device, or `unknown`'),
    vram: described(count, 'MiB of memory, 0 when unknown'),
    contract: described(uint64, 'contract that has it, 0 when free'),
  },
  'A graphics card.',
);

export const gpuList = defineCommand({
  name: 'zos.gpu.list',
  summary: 'GPUs of the node and the contracts that have them.',
  caller: 'any',
  input: nothing,
  output: list(Gpu),
});

export const Location = struct(
  'geoip.Location',
  {
    longitude: described(float64, 'degrees east'),
    latitude: described(float64, 'degrees north'),
    continent: described(text, 'name of the continent; empty when unknown'),
    country_name: described(text, 'name of the country; empty when unknown'),
    country_code: described(text, 'ISO 3166-1 code of two letters; empty when unknown'),
    city_name: described(text, 'name of the city; empty when unknown'),
  },
  'Where a node stands.',
);

export const locationGet = defineCommand({
  name: 'zos.location.get',
  summary: 'Where the node stands: as its operator says, else as the chain has it.',
  caller: 'any',
  input: nothing,
  output: Location,
  errors: ['host_location_unknown'],
});
