import { copyFileSync, cpSync, existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { publish } from './cache.js';
import { type RunOptions, run, tail } from './command.js';
import { localHeaders, napiVersion, type Platform, type Tools } from './environment.js';
import { SetupError } from './failure.js';
import type { TensorFlow } from './wheel.js';

/** The file that tfjs loads, in its package. */
export const bindingFile = `lib/napi-v${napiVersion}/tfjs_binding.node`;

/**
 * Where a compiled binding is kept. Node-API is stable across versions of Node, so one serves them all.
 * @param name the package, without its scope
 */
export function cachedBinding(
  cache: string,
  name: string,
  version: string,
  tensorflow: TensorFlow,
  platform: Platform,
): string {
  const key = `${name}-${version}-${tensorflow.package}-${tensorflow.version}-napi-v${napiVersion}-${platform.name}`;
  return join(cache, 'binding', key, 'tfjs_binding.node');
}

/**
 * Compiles the package's own binding, in the cache: the package's folder is only read.
 * @param target a path of cachedBinding()
 * @throws SetupError where node-gyp fails
 */
export async function compileBinding(
  packageFolder: string,
  target: string,
  tensorflow: TensorFlow,
  tools: Tools,
  options: RunOptions,
): Promise<void> {
  await publish(dirname(target), async (temporary) => {
    cpSync(join(packageFolder, 'binding'), join(temporary, 'binding'), { recursive: true });
    copyFileSync(join(packageFolder, 'package.json'), join(temporary, 'package.json'));
    // On macOS the library is named by its path, which then stands in the binding: it must be the file's own name.
    const recipe = readFileSync(join(packageFolder, 'binding.gyp'), 'utf8');
    writeFileSync(
      join(temporary, 'binding.gyp'),
      recipe.replaceAll('libtensorflow.2.dylib', 'libtensorflow_cc.2.dylib'),
    );
    symlinkSync(tensorflow.folder, join(temporary, 'deps'));

    // What node-pre-gyp, the package's own installer, tells node-gyp.
    const variables = [
      '--module_name=tfjs_binding',
      `--module_path=./lib/napi-v${napiVersion}`,
      `--napi_version=${process.versions.napi}`,
      `--napi_build_version=${napiVersion}`,
    ];
    const jobs = String(Math.min(2, availableParallelism())); // the binding is two files
    const { code, output } = await run(
      tools.get('node-gyp'),
      ['rebuild', ...localHeaders(), ...variables, '--jobs', jobs],
      { ...options, cwd: temporary },
    );
    const made = join(temporary, 'build/Release/tfjs_binding.node');
    if (code !== 0 || !existsSync(made)) {
      throw new SetupError(
        `expected node-gyp to compile the binding, it failed (exit ${code}):\n${tail(output)}`,
        `See ${options.log.path}. Where it could not get Node's headers, set npm_config_nodedir to a folder with include/node.`,
      );
    }
    const result = join(temporary, 'result');
    cpSync(made, join(result, 'tfjs_binding.node'));
    return result;
  });
}
