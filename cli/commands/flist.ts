import { resolve } from 'node:path';
import { packFlist, readFlist } from '../../modules/flistd/format/index.ts';
import { CliError, type Command, readOptions } from '../command.ts';
import { size } from '../table.ts';

const usage = `usage: gridnode flist pack FOLDER OUTPUT.fl --store DIR [--route URL]
       gridnode flist list FILE.fl

pack writes the folder's tree to OUTPUT.fl and its blocks to the store folder.
--route is where readers find the blocks (default dir://STORE); serve the store
folder over HTTP and name that URL to publish it.`;

export const command: Command = {
  usage,
  async run(args) {
    const { values, positionals } = readOptions(args, { store: { type: 'string' }, route: { type: 'string' } }, usage);
    const [verb, first, second] = positionals;
    if (verb === 'pack' && first !== undefined && second !== undefined && values.store !== undefined) {
      const store = `dir://${resolve(values.store)}`;
      const packed = await packFlist({
        directory: resolve(first),
        output: resolve(second),
        store,
        routes: [{ start: 0, end: 255, url: values.route ?? store }],
      });
      const blocks = `${packed.blocks} blocks (${packed.newBlocks} new)`;
      process.stdout.write(
        `${second}: ${packed.entries} entries, ${blocks}, ${size(packed.bytes)}, md5 ${packed.md5}\n`,
      );
      return 0;
    }
    if (verb === 'list' && first !== undefined) {
      for (const entry of readFlist(resolve(first)).entries) process.stdout.write(`/${entry.path}\n`);
      return 0;
    }
    throw new CliError(usage);
  },
};
