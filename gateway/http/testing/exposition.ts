/** The text format of Prometheus, read strictly: what a scraper would refuse or misread throws here. */

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Family {
  readonly help: string;
  readonly type: string;
  readonly samples: Sample[];
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)/y;

/** Names whose counters are older than the rule: dashboards of existing relays read them. */
const OLD_COUNTERS = /^(relay_message_|federation_message_)/;

export function readExposition(page: string): Map<string, Family> {
  if (page !== '' && !page.endsWith('\n')) throw new Error('the page does not end with a line break');
  const families = new Map<string, Family>();
  const seen = new Set<string>();
  let help: { readonly name: string; readonly text: string } | undefined;
  let current: { readonly name: string; readonly family: Family } | undefined;
  for (const line of page.split('\n')) {
    if (line === '') continue;
    const [, kind, name = '', text = ''] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? [];
    if (kind === 'HELP') {
      if (!NAME.test(name) || families.has(name)) throw new Error(`family ${name} begins twice or is no name`);
      help = { name, text };
    } else if (kind === 'TYPE') {
      if (help?.name !== name) throw new Error(`family ${name} has no help`);
      if (text === 'counter' && !name.endsWith('_total') && !OLD_COUNTERS.test(name))
        throw new Error(`counter ${name} is not called _total`);
      current = { name, family: { help: help.text, type: text, samples: [] } };
      families.set(name, current.family);
    } else if (line.startsWith('#')) {
      throw new Error(`what is this: ${line}`);
    } else {
      const sample = readSample(line);
      if (current === undefined || !belongs(sample.name, current.name, current.family.type))
        throw new Error(`${sample.name} belongs to no family`);
      const id = `${sample.name}${JSON.stringify(Object.entries(sample.labels).sort())}`;
      if (seen.has(id)) throw new Error(`${line} stands twice`);
      seen.add(id);
      current.family.samples.push(sample);
    }
  }
  for (const [name, family] of families) if (family.type === 'histogram') checkHistogram(name, family);
  return families;
}

function readSample(line: string): Sample {
  const [, name = '', , inner = '', number = ''] = /^([^\s{]+)(\{(.*)\})? (\S+)$/.exec(line) ?? [];
  if (!NAME.test(name)) throw new Error(`no sample: ${line}`);
  const value = number === '+Inf' ? Number.POSITIVE_INFINITY : Number(number);
  if (Number.isNaN(value)) throw new Error(`no number: ${line}`);
  const labels: Record<string, string> = {};
  for (let at = 0; at < inner.length; ) {
    LABEL.lastIndex = at;
    const found = LABEL.exec(inner);
    if (found === null) throw new Error(`no labels: ${line}`);
    const [all, label = '', text = ''] = found;
    if (Object.hasOwn(labels, label)) throw new Error(`label ${label} twice: ${line}`);
    labels[label] = text;
    at += all.length;
  }
  return { name, labels, value };
}

function belongs(sample: string, family: string, type: string): boolean {
  if (type === 'histogram') return ['_bucket', '_sum', '_count'].some((end) => sample === family + end);
  return sample === family;
}

/** Buckets grow up to `+Inf`, which is the count. */
function checkHistogram(name: string, { samples }: Family): void {
  const series = new Map<string, { last: number; end: number | undefined; count: number | undefined }>();
  for (const { name: sample, labels, value } of samples) {
    const { le, ...rest } = labels;
    const key = JSON.stringify(Object.entries(rest).sort());
    const one = series.get(key) ?? { last: 0, end: undefined, count: undefined };
    series.set(key, one);
    if (sample === `${name}_count`) one.count = value;
    if (le === undefined) continue;
    if (value < one.last) throw new Error(`buckets of ${name} shrink`);
    one.last = value;
    if (le === '+Inf') one.end = value;
  }
  for (const { end, count } of series.values())
    if (end === undefined || end !== count) throw new Error(`${name} has no last bucket, or another count`);
}
