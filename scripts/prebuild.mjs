// Puts the built add-on where the published package carries it: prebuilds/<platform>-<arch>[-musl]/.
import { copyFileSync, mkdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { pathToFileURL } from 'node:url';
import { buildWithCmake, root } from './lib.mjs';

buildWithCmake();
delete process.env.PERCEPTION_R1_ADDON;
const { addonCandidates } = await import(pathToFileURL(`${root}dist/native/load.js`).href);
const [prebuild, built] = addonCandidates();
rmSync(prebuild, { force: true });
mkdirSync(dirname(prebuild), { recursive: true });
copyFileSync(built, prebuild);
console.log(`prebuilt: ${prebuild}`);
