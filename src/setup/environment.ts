import { existsSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { ask, type Command, which } from './command.js';
import { SetupError } from './failure.js';

/** What a step may need beside Node. */
export type Tool = 'npm' | 'pip' | 'python' | 'node-gyp' | 'compiler';

/** Where the set-up runs. */
export interface Platform {
  os: string;
  arch: string;
  /** As in names of cache folders: linux-x64. */
  name: string;
}

/**
 * Checks the operating system and the processor.
 * @throws SetupError where TensorFlow has no wheel whose libraries could be used
 */
export function checkPlatform(gpu: boolean, os: string = process.platform, arch = process.arch): Platform {
  const name = `${os}-${arch}`;
  const supported = gpu ? ['linux-x64'] : ['linux-x64', 'linux-arm64', 'darwin-arm64'];
  if (!supported.includes(name)) {
    throw new SetupError(
      `expected one of ${supported.join(', ')}${gpu ? ' with --gpu' : ''}, this is ${name}`,
      os === 'win32'
        ? 'On Windows use WSL 2, or the neutral route: the cpu and wasm backends of tfjs need no set-up.'
        : 'Use the neutral route: the cpu and wasm backends of tfjs need no set-up.',
    );
  }
  return { os, arch, name };
}

/** The highest version of Node-API for which the package's binding is built. */
export const napiVersion = 8;

/** @throws SetupError for a Node that this package, or the binding, does not know */
export function checkNode(version: string = process.versions.node, napi = process.versions.napi): void {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const tooOld = major < 20 || (major === 20 && minor < 17);
  if (!tooOld && Number(napi) >= napiVersion) return;
  throw new SetupError(
    `expected Node >= 20.17 with Node-API >= ${napiVersion}, this is Node ${version} with Node-API ${napi ?? 'unknown'}`,
    'Install a current Node and run the command again with it.',
  );
}

const pythons: readonly Command[] = [['python3'], ['python']];
const pips: readonly Command[] = [['python3', '-m', 'pip'], ['python', '-m', 'pip'], ['pip3'], ['pip']];

/** Finds the user's programs; each is looked for once, and only when a step needs it. */
export class Tools {
  readonly #project: string;
  readonly #found = new Map<Tool, Command | undefined>();

  /** @param project the folder with package.json */
  constructor(project: string) {
    this.#project = project;
  }

  /** @throws SetupError naming all that are missing, so that nothing is downloaded in vain */
  require(tools: Iterable<Tool>): void {
    const missing = [...new Set(tools)].filter((tool) => this.#find(tool) === undefined);
    if (missing.length === 0) return;
    throw new SetupError(
      missing.map((tool) => `expected ${expected[tool].what}, found none`).join('\n'),
      missing.map((tool) => expected[tool].remedy).join('\n'),
    );
  }

  /** The command of a tool. @throws SetupError where it is missing */
  get(tool: Tool): Command {
    this.require([tool]);
    return this.#find(tool)!;
  }

  #find(tool: Tool): Command | undefined {
    if (!this.#found.has(tool)) this.#found.set(tool, finders[tool](this.#project));
    return this.#found.get(tool);
  }
}

const expected: Record<Tool, { what: string; remedy: string }> = {
  npm: { what: 'npm on the PATH', remedy: 'Install npm (it comes with Node).' },
  pip: {
    what: `pip (tried: ${pips.map((words) => words.join(' ')).join(', ')})`,
    remedy:
      'Install Python 3 with pip, for example "apt-get install python3-pip"; in a virtual environment, activate it.',
  },
  python: {
    what: 'Python 3 on the PATH (tried: python3, python)',
    remedy: 'Install Python 3: it unpacks the wheel, and node-gyp needs it too.',
  },
  'node-gyp': {
    what: "node-gyp, npm's own or one installed in the project",
    remedy: 'Run "npm install --save-dev node-gyp".',
  },
  compiler: {
    what: 'make and a C++ compiler on the PATH (CXX is respected)',
    remedy: 'Install a compiler: "apt-get install g++ make", or "xcode-select --install" on macOS.',
  },
};

const finders: Record<Tool, (project: string) => Command | undefined> = {
  npm: findNpm,
  pip: () => pips.find((command) => which(command[0]) && ask(command, '--version') !== undefined),
  python: () =>
    pythons.find(
      (command) =>
        which(command[0]) && ask(command, '-c', 'import sys, zipfile; print(sys.version_info[0])') === '3',
    ),
  'node-gyp': findNodeGyp,
  compiler: () => {
    const cxx = process.env.CXX?.trim().split(/\s+/)[0] || (process.platform === 'darwin' ? 'c++' : 'g++');
    return (cxx.includes('/') ? existsSync(cxx) : which(cxx)) && which('make') ? [cxx] : undefined;
  },
};

/** The npm that runs this command, where one does, else the one on the PATH. */
function findNpm(): Command | undefined {
  const running = process.env.npm_execpath;
  if (running?.endsWith('npm-cli.js') && existsSync(running)) return [process.execPath, running];
  return which('npm') ? ['npm'] : undefined;
}

/** npm brings a node-gyp that is current; the project's own may be old, so it comes second. */
function findNodeGyp(project: string): Command | undefined {
  const roots: string[] = [];
  const execPath = process.env.npm_execpath;
  if (execPath?.endsWith('npm-cli.js')) roots.push(join(dirname(execPath), '..'));
  const npm = which('npm');
  if (npm) roots.push(join(dirname(realpathSync(npm)), '..'));
  for (const root of roots) {
    const script = join(root, 'node_modules/node-gyp/bin/node-gyp.js');
    if (existsSync(script)) return [process.execPath, script];
  }
  try {
    const script = createRequire(join(project, 'package.json')).resolve('node-gyp/bin/node-gyp.js');
    return [process.execPath, script];
  } catch {
    // not in the project either: the last place is where the user's npm puts global packages
  }
  const global = npm && ask(['npm'], 'root', '-g');
  const script = global ? join(global, 'npm/node_modules/node-gyp/bin/node-gyp.js') : '';
  return existsSync(script) ? [process.execPath, script] : undefined;
}

/** Node's headers, where this Node brought them along, so that node-gyp has nothing to download. */
export function localHeaders(): string[] {
  if (process.env.npm_config_nodedir) return [];
  const folder = join(dirname(process.execPath), '..');
  return existsSync(join(folder, 'include/node/node_api.h')) ? ['--nodedir', folder] : [];
}
