// Puts the built add-on, and its CUDA plug-in where that was built, where the published package carries them:
// prebuilds/<platform>-<arch>[-musl]/.
import { copyFileSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { buildWithCmake, root } from './lib.mjs';

buildWithCmake();
delete process.env.PERCEPTION_R1_ADDON;
const { addonCandidates } = await import(pathToFileURL(`${root}dist/native/load.js`).href);
const [prebuild, built] = addonCandidates();
const folder = dirname(prebuild);
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
copyFileSync(built, prebuild);
console.log(`prebuilt: ${prebuild}`);

const plugin = `perception_r1_cuda.${process.platform === 'win32' ? 'dll' : 'so'}`;
if (existsSync(join(dirname(built), plugin))) {
  copyFileSync(join(dirname(built), plugin), join(folder, plugin));
  console.log(`prebuilt: ${join(folder, plugin)}`);
} else {
  console.log('no CUDA plug-in: nvcc of CUDA 12 or newer was not found');
}
