import { existsSync, readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { names, publish } from './cache.js';
import { type RunOptions, run, tail } from './command.js';
import type { Platform, Tools } from './environment.js';
import { SetupError } from './failure.js';

/** What is kept of a TensorFlow wheel: a folder with lib/ and include/, laid out as the binding expects its deps/. */
export interface TensorFlow {
  /** The package in pip's index: tensorflow-cpu or tensorflow. */
  package: string;
  version: string;
  folder: string;
  /** NVIDIA's packages with the CUDA libraries that this wheel asks for; empty in a build for the CPU. */
  cuda: string[];
}

/** Which packages have libtensorflow for this platform, the preferred one first. */
export function wheelPackages(platform: Platform, gpu: boolean): string[] {
  if (gpu) return ['tensorflow'];
  // Elsewhere the plain package is a build for the CPU, and the only one in most releases.
  return platform.name === 'linux-x64' ? ['tensorflow-cpu'] : ['tensorflow-cpu', 'tensorflow'];
}

/**
 * What the cache has, the newest version first.
 * @param version only this one
 */
export function cachedTensorFlows(
  cache: string,
  platform: Platform,
  packages: readonly string[],
  version?: string,
): TensorFlow[] {
  const root = join(cache, 'tensorflow');
  const found = names(root)
    .map((name) => join(root, name, 'wheel.json'))
    .filter(existsSync)
    .map(
      (file) => JSON.parse(readFileSync(file, 'utf8')) as Omit<TensorFlow, 'folder'> & { platform: string },
    )
    .filter((wheel) => wheel.platform === platform.name && packages.includes(wheel.package))
    .filter((wheel) => version === undefined || wheel.version === version);
  return found
    .sort((a, b) => b.version.localeCompare(a.version, 'en', { numeric: true }))
    .map((wheel) => ({
      package: wheel.package,
      version: wheel.version,
      cuda: wheel.cuda,
      folder: tensorFlowFolder(cache, wheel.package, wheel.version, platform),
    }));
}

function tensorFlowFolder(cache: string, name: string, version: string, platform: Platform): string {
  return join(cache, 'tensorflow', `${name}-${version}-${platform.name}`);
}

/**
 * Takes libtensorflow and the C headers from pip's wheel into the cache.
 * @throws SetupError where pip has no wheel, or the wheel no library
 */
export async function fetchTensorFlow(
  cache: string,
  platform: Platform,
  packages: readonly string[],
  version: string | undefined,
  tools: Tools,
  options: RunOptions,
): Promise<TensorFlow> {
  const downloads = join(cache, 'downloads', 'tensorflow');
  let failure = '';
  for (const name of packages) {
    const requirement = version === undefined ? name : `${name}==${version}`;
    // The libraries do not depend on Python's version: where the user's has no wheel, another's will do.
    for (const python of [[], ['--python-version', '3.12', '--implementation', 'cp', '--abi', 'cp312']]) {
      const { wheels, output } = await download(tools, downloads, [...python, requirement], options);
      const wheel = wheels?.[0];
      if (wheel === undefined) {
        failure = output;
        continue;
      }
      const actual = basename(wheel).split('-')[1]!;
      const folder = tensorFlowFolder(cache, name, actual, platform);
      await publish(folder, async (temporary) => {
        const arguments_ = ['tensorflow', wheel, temporary, name, actual, platform.name];
        await unpack(tools, wheel, arguments_, options);
        return temporary;
      });
      rmSync(downloads, { recursive: true, force: true }); // unpacked, it is of no more use
      const [made] = cachedTensorFlows(cache, platform, [name], actual);
      if (made) return made;
      throw new SetupError(`${folder}: expected a complete folder`, `Remove it and run the command again.`);
    }
  }
  const wanted = version === undefined ? '' : ` ${version}`;
  throw noWheel(`a wheel of ${packages.join(' or ')}${wanted} for ${platform.name}`, failure, options);
}

/** Where the CUDA libraries of a TensorFlow are kept. */
export function cudaFolder(cache: string, tensorflow: TensorFlow, platform: Platform): string {
  return join(cache, 'cuda', `for-${tensorflow.package}-${tensorflow.version}-${platform.name}`);
}

/** Takes the CUDA libraries that a TensorFlow wheel asks for from NVIDIA's own wheels into the cache. */
export async function fetchCuda(
  cache: string,
  tensorflow: TensorFlow,
  platform: Platform,
  tools: Tools,
  options: RunOptions,
): Promise<void> {
  const downloads = join(cache, 'downloads', 'cuda');
  const { wheels, output } = await download(tools, downloads, tensorflow.cuda, options);
  if (!wheels) throw noWheel(`wheels of ${tensorflow.cuda.join(', ')}`, output, options);
  await publish(cudaFolder(cache, tensorflow, platform), async (temporary) => {
    for (const wheel of wheels) await unpack(tools, wheel, ['cuda', wheel, temporary], options);
    return temporary;
  });
  rmSync(downloads, { recursive: true, force: true });
}

/** pip takes up what it has already; `wheels` is missing where it offers none that fits. */
async function download(
  tools: Tools,
  folder: string,
  what: string[],
  options: RunOptions,
): Promise<{ wheels?: string[]; output: string }> {
  const how = ['--no-deps', '--only-binary=:all:', '--disable-pip-version-check', '--progress-bar', 'off'];
  const { code, output } = await run(
    tools.get('pip'),
    ['download', ...how, '--dest', folder, ...what],
    options,
  );
  if (code === 0) {
    const saved = [...output.matchAll(/^\s*(?:Saved|File was already downloaded)\s+(\S.*\.whl)\s*$/gm)];
    const wheels = saved.map((match) => join(folder, basename(match[1]!))).filter(existsSync);
    if (wheels.length > 0) return { wheels, output };
  } else if (/No matching distribution|Could not find a version/.test(output)) {
    return { output };
  }
  throw new SetupError(
    `pip download ${what.join(' ')}: expected a wheel, pip failed (exit ${code}):\n${tail(output)}`,
    `See ${options.log.path}. Run the command again: it goes on where it stopped.`,
  );
}

function noWheel(wanted: string, output: string, { log }: RunOptions): SetupError {
  const offline = /NewConnectionError|ConnectTimeoutError|ReadTimeoutError|ProxyError|SSLError/.test(output);
  return new SetupError(
    `expected ${wanted}, pip offers none${offline ? ' (it could not reach an index)' : ''}:\n${tail(output, 4)}`,
    offline
      ? `Check the network and pip's configuration ("pip config list"). The log: ${log.path}`
      : `Upgrade pip ("pip install --upgrade pip"): an old one does not know current wheels. On musl there are none. The log: ${log.path}`,
  );
}

async function unpack(tools: Tools, wheel: string, args: string[], options: RunOptions): Promise<void> {
  const { code, output } = await run(tools.get('python'), ['-c', unpacker, ...args], options);
  if (code === 0) return;
  // A wheel that was cut off would be taken for complete by the next run.
  rmSync(wheel, { force: true });
  throw new SetupError(
    `${basename(wheel)}: expected a wheel with TensorFlow's libraries, unpacking failed:\n${tail(output)}`,
    `See ${options.log.path}. Run the command again: the wheel is downloaded anew.`,
  );
}

/** The headers that the binding includes; what these include is found by reading them. */
const headers = [
  'tensorflow/c/c_api.h',
  'tensorflow/c/eager/c_api.h',
  'tensorflow/core/platform/ctstring_internal.h',
];

/** Unpacks only what is needed: the whole wheel is three times as large. Python checks each member's checksum. */
const unpacker = `
import json, os, posixpath, re, shutil, sys, zipfile
mode, wheel, out = sys.argv[1:4]
archive = zipfile.ZipFile(wheel)
members = set(archive.namelist())

def save(member, path):
    path = os.path.join(out, *path.split('/'))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with archive.open(member) as source, open(path, 'wb') as target:
        shutil.copyfileobj(source, target, 1 << 20)
    if archive.getinfo(member).external_attr >> 16 & 0o111:
        os.chmod(path, 0o755)

if mode == 'cuda':
    for member in sorted(members):
        if re.match(r'nvidia/[^/]+/(lib|bin|nvvm)/', member) and not member.endswith(('/', '.a', '.py')):
            if '..' not in member.split('/'):
                save(member, member)
    sys.exit()

package, version, platform = sys.argv[4:7]
prefix = 'tensorflow/include/'
for name in ('libtensorflow_cc', 'libtensorflow_framework'):
    file = next((f for f in (name + '.so.2', name + '.2.dylib') if 'tensorflow/' + f in members), None)
    if file is None:
        sys.exit('no ' + name + ' in ' + wheel)
    save('tensorflow/' + file, 'lib/' + file)
    # The names the binding is linked with.
    alias = file.replace('_cc', '')
    if file.endswith('.so.2'):
        alias = alias[:-2]
    if alias != file:
        os.symlink(file, os.path.join(out, 'lib', alias))

todo, seen = ${JSON.stringify(headers)}, set()
for header in todo:
    if prefix + header not in members:
        sys.exit('no ' + header + ' in ' + wheel)
while todo:
    header = todo.pop()
    if header in seen or prefix + header not in members:
        continue
    seen.add(header)
    save(prefix + header, 'include/' + header)
    text = archive.read(prefix + header).decode('utf-8', 'replace')
    for name in re.findall(r'^\\s*#\\s*include\\s+"([^"]+)"', text, re.M):
        todo += [name, posixpath.normpath(posixpath.join(posixpath.dirname(header), name))]

cuda = []
for member in members:
    if member.endswith('.dist-info/METADATA'):
        for line in archive.read(member).decode('utf-8', 'replace').splitlines():
            found = re.match(r'Requires-Dist:\\s*(nvidia-[^;]+);.*\\band-cuda\\b', line)
            if found:
                cuda.append(re.sub(r'[\\s()]', '', found.group(1)))
with open(os.path.join(out, 'wheel.json'), 'w') as file:
    json.dump({'package': package, 'version': version, 'platform': platform, 'cuda': sorted(cuda)}, file)
`;
