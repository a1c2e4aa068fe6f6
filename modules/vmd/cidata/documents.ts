/** The four files of the seed disk. What goes into them is the grid's contract with its images. */
import { shellQuote, splitWords } from './shell.ts';

export interface SeedInterface {
  readonly mac: string;
  /** CIDR notation. */
  readonly addresses: readonly string[];
  readonly gateway4?: string;
  readonly gateway6?: string;
  readonly routes: readonly { readonly to: string; readonly via?: string | undefined }[];
}

export interface SeedMount {
  readonly source: string;
  readonly target: string;
  /** `auto` for disks, `virtiofs` for shares. */
  readonly type: string;
}

export interface Seed {
  readonly name: string;
  readonly hostname: string;
  readonly interfaces: readonly SeedInterface[];
  readonly nameservers: readonly string[];
  readonly mounts: readonly SeedMount[];
  /** Value of `SSH_KEY`: keys separated by newlines or commas. */
  readonly sshKeys: string | undefined;
  readonly environment: ReadonlyMap<string, string>;
  readonly entrypoint: string;
}

const HEADER = '#cloud-config';

/** Strings are always quoted, so no address or name turns into another YAML type. */
const quote = (value: string): string => JSON.stringify(value);

/** File name to content, in the order they are written. */
export function seedDocuments(seed: Seed): Map<string, string> {
  return new Map([
    ['meta-data', metaData(seed)],
    ['network-config', networkConfig(seed)],
    ['user-data', userData(seed)],
    ['zosrc', zosrc(seed)],
  ]);
}

const lines = (...list: readonly string[]): string => list.map((line) => `${line}\n`).join('');

function metaData({ name, hostname }: Seed): string {
  return lines(HEADER, `instance-id: ${quote(name)}`, `local-hostname: ${quote(hostname)}`);
}

function networkConfig({ interfaces, nameservers }: Seed): string {
  const body = interfaces.flatMap((device, index) => [
    `  eth${index}:`,
    '    match:',
    `      macaddress: ${quote(device.mac)}`,
    '    dhcp4: false',
    ...(device.addresses.length === 0 ? [] : ['    addresses:']),
    ...device.addresses.map((address) => `      - ${quote(address)}`),
    ...(device.gateway4 === undefined ? [] : [`    gateway4: ${quote(device.gateway4)}`]),
    ...(device.gateway6 === undefined ? [] : [`    gateway6: ${quote(device.gateway6)}`]),
    ...(device.routes.length === 0 ? [] : ['    routes:']),
    ...device.routes.flatMap(({ to, via }) => [
      `      - to: ${quote(to)}`,
      ...(via === undefined ? [] : [`        via: ${quote(via)}`]),
    ]),
    ...(index > 0 || nameservers.length === 0 ? [] : ['    nameservers:', '      addresses:']),
    ...(index > 0 ? [] : nameservers.map((server) => `        - ${quote(server)}`)),
  ]);
  return lines(HEADER, 'version: 2', body.length === 0 ? 'ethernets: {}' : 'ethernets:', ...body);
}

function userData({ mounts, sshKeys }: Seed): string {
  const keys = (sshKeys ?? '')
    .split('\n')
    .flatMap((line) => line.split(','))
    .map((key) => key.trim())
    .filter((key) => key !== '');
  return lines(
    HEADER,
    ...(mounts.length === 0 ? [] : ['mounts:']),
    ...mounts.map(
      ({ source, target, type }) =>
        `  - [${[source, target, type, 'defaults', '0', '0'].map((field) => quote(field)).join(', ')}]`,
    ),
    ...(sshKeys === undefined ? [] : ['users:', '  - name: "root"']),
    ...(keys.length === 0 ? [] : ['    ssh_authorized_keys:']),
    ...keys.map((key) => `      - ${quote(key)}`),
  );
}

/** Shell text that the guest's init sources: environment, then the entrypoint's words. */
function zosrc({ environment, entrypoint }: Seed): string {
  const exports = [...environment].map(([key, value]) => `export ${key}=${shellQuote(value)}`);
  const [first, ...rest] = splitWords(entrypoint);
  const words = first === undefined ? [] : [`init=${shellQuote(first)}`];
  if (rest.length > 0) words.push(`set -- ${rest.map((word) => shellQuote(word)).join(' ')}`);
  return lines(...exports, ...words);
}
