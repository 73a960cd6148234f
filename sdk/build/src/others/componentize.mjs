// Run by node in the folder whose `node_modules` has the library: SOURCE WIT WORLD OUTPUT.
import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { componentize } from '@bytecodealliance/componentize-js';

const [sourcePath, witPath, worldName, output] = process.argv.slice(1);
// With these the engine would import WASI.
const disableFeatures = ['stdio', 'random', 'clocks', 'http', 'fetch-event'];
try {
  const { component } = await componentize({ sourcePath, witPath, worldName, disableFeatures });
  await writeFile(output, component);
} catch (error) {
  console.error(error?.message ?? error);
  // Where the source is at fault, node tells the place.
  spawnSync(process.execPath, ['--check', sourcePath], { stdio: ['ignore', 'inherit', 'inherit'] });
  process.exitCode = 1;
}
