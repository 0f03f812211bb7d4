import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, type TestContext, test } from 'vitest';
import { cacheFolder, publish } from '../src/setup/cache.js';
import { checkNode, checkPlatform } from '../src/setup/environment.js';
import { SetupError } from '../src/setup/failure.js';
import { holdsTree, linkTree, patchedFiles, patchUtil } from '../src/setup/place.js';
import { Project } from '../src/setup/project.js';
import { cachedTensorFlows } from '../src/setup/wheel.js';
import * as commandLine from './command-line.js';

let scratch: string;
let counter = 0;

beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'perception-r1-setup-'));
});
afterAll(() => {
  if (scratch) rmSync(scratch, { recursive: true });
});

const start = (args: readonly string[], env?: NodeJS.ProcessEnv): ReturnType<typeof commandLine.start> => {
  const started = commandLine.start(['setup-tfjs', ...args], env);
  started.child.stdin.end();
  return started;
};
const run = (args: readonly string[], env?: NodeJS.ProcessEnv): Promise<commandLine.Run> =>
  start(args, env).done;

const folder = (name: string): string => {
  const made = join(scratch, `${name}-${counter++}`);
  mkdirSync(made);
  return made;
};

function write(file: string, content: string, mode = 0o644): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
  chmodSync(file, mode);
}

function newProject(packageJson: object = {}): string {
  const made = folder('project');
  write(
    join(made, 'package.json'),
    JSON.stringify({ name: 'project', version: '1.0.0', private: true, ...packageJson }),
  );
  return made;
}

/** A package that looks installed, of a version. */
function putPackage(project: string, version: string): string {
  const made = join(project, 'node_modules/@tensorflow/tfjs-node');
  write(join(made, 'package.json'), JSON.stringify({ name: '@tensorflow/tfjs-node', version }));
  return made;
}

const tree = (root: string): string[] =>
  existsSync(root) ? (readdirSync(root, { recursive: true }).sort() as string[]) : [];

/** An environment whose programs are stand-ins: python3, pip and all do what the script of a test says. */
function standIns(python: string): NodeJS.ProcessEnv {
  const root = folder('programs');
  const bin = join(root, 'bin');
  const answers = `case "$*" in *--version*) echo 24.0; exit;; *version_info*) echo 3; exit;; esac`;
  write(join(bin, 'python3'), `#!/bin/sh\n${answers}\n${python}\n`, 0o755);
  for (const name of ['npm', 'g++', 'c++', 'make']) write(join(bin, name), '#!/bin/sh\nexit 1\n', 0o755);
  write(join(root, 'node_modules/node-gyp/bin/node-gyp.js'), 'process.exit(1);\n');
  return { PATH: bin, XDG_CACHE_HOME: join(root, 'cache'), npm_execpath: '', CXX: '' };
}

describe('usage', () => {
  test('--help names the options', async () => {
    const { code, stdout } = await run(['--help']);
    expect(code).toBe(0);
    for (const option of ['--gpu', '--directory', '--tensorflow', '--no-save', '--dry-run']) {
      expect(stdout).toContain(option);
    }
  });

  test.each([[['--bogus']], [['extra']], [['--tensorflow', 'newest']], [['--directory']]])(
    'wrong usage %j exits with 2',
    async (args) => {
      const { code, stderr } = await run(args);
      expect(code).toBe(2);
      expect(stderr).not.toBe('');
    },
  );

  test('a folder without package.json exits with 2', async () => {
    const { code, stderr } = await run(['--directory', folder('empty')]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/--directory: expected a folder with package.json/);
  });
});

// The stand-ins are shell scripts, and Windows is refused anyway.
describe.skipIf(process.platform === 'win32')('without the real programs', () => {
  test('--dry-run says what would be done and changes nothing', async () => {
    const project = newProject();
    const env = standIns('exit 1');
    const { code, stdout } = await run(['--dry-run', '--directory', project], env);
    expect(code).toBe(0);
    expect(stdout).toContain('npm install --ignore-scripts --save-exact @tensorflow/tfjs-node@4.22.0');
    expect(stdout).toContain('pip download --no-deps tensorflow-cpu');
    expect(stdout).toContain('nothing was changed');
    expect(tree(project)).toEqual(['package.json']);
    expect(existsSync(env.XDG_CACHE_HOME!)).toBe(false);
  });

  test.runIf(process.platform === 'linux' && process.arch === 'x64')('--dry-run --gpu', async () => {
    const project = newProject();
    const { code, stdout } = await run(['--gpu', '--dry-run', '--directory', project], standIns('exit 1'));
    expect(code).toBe(0);
    expect(stdout).toContain('@tensorflow/tfjs-node-gpu@4.22.0');
    expect(stdout).toMatch(/pip download --no-deps tensorflow\n/);
    expect(stdout).toContain('CUDA libraries');
    expect(tree(project)).toEqual(['package.json']);
  });

  test.each([[[]], [['--dry-run']]])(
    'without pip, %j tells all that is missing and exits with 1',
    async (more) => {
      const project = newProject();
      const env = { PATH: folder('nothing'), XDG_CACHE_HOME: folder('cache'), npm_execpath: '', CXX: '' };
      const { code, stdout, stderr } = await run(['--directory', project, ...more], env);
      expect(code).toBe(1);
      expect(stdout).toBe('');
      for (const missing of [/expected pip .*found none/, /expected npm/, /Python 3/, /C\+\+ compiler/]) {
        expect(stderr).toMatch(missing);
      }
      expect(stderr).toMatch(/Install Python 3 with pip/);
      expect(tree(project)).toEqual(['package.json']);
      expect(tree(env.XDG_CACHE_HOME)).toEqual([]);
    },
  );

  test('no wheel for this platform: what pip said, the log, exit code 1', async () => {
    const project = newProject();
    putPackage(project, '4.22.0');
    const env = standIns('echo "ERROR: No matching distribution found for tensorflow-cpu" >&2; exit 1');
    const { code, stderr } = await run(['--directory', project], env);
    expect(code).toBe(1);
    expect(stderr).toMatch(/expected a wheel of tensorflow-cpu.*pip offers none/);
    const log = /\S+setup-tfjs-\S+\.log/.exec(stderr)?.[0];
    const calls = readFileSync(log!, 'utf8').match(/^\$ .*$/gm)!;
    expect(calls.every((call) => call.includes('-m pip download --no-deps'))).toBe(true);
    expect(calls.at(-1)).toContain('--python-version 3.12'); // another Python's wheel has the same library
  });

  test('pip that fails otherwise is quoted', async () => {
    const project = newProject();
    putPackage(project, '4.22.0');
    const { code, stderr } = await run(['--directory', project], standIns('echo "disk on fire" >&2; exit 3'));
    expect(code).toBe(1);
    expect(stderr).toMatch(/pip failed \(exit 3\):\n {4}disk on fire/);
  });

  test('an interruption ends what was started and says how to go on', async () => {
    const project = newProject();
    putPackage(project, '4.22.0');
    const env = standIns('/bin/sleep 60 & echo $! > "$XDG_CACHE_HOME/pid"; wait');
    mkdirSync(env.XDG_CACHE_HOME!);
    const { child, done } = start(['--directory', project], env);
    const pidFile = join(env.XDG_CACHE_HOME!, 'pid');
    while (!existsSync(pidFile) || readFileSync(pidFile, 'utf8') === '') {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const grandchild = Number(readFileSync(pidFile, 'utf8'));
    child.kill('SIGINT');
    const { code, stderr } = await done;
    expect(code).toBe(130);
    expect(stderr).toMatch(/interrupted; run the command again/);
    await expect.poll(() => isRunning(grandchild), { timeout: 5000 }).toBe(false);
  });

  test('another version of the package is refused, with the command that changes it', async () => {
    const project = newProject();
    putPackage(project, '4.20.0');
    const { code, stderr } = await run(['--directory', project], standIns('exit 1'));
    expect(code).toBe(1);
    expect(stderr).toMatch(/expected version 4\.22\.0, found 4\.20\.0/);
    expect(stderr).toMatch(/npm install --ignore-scripts @tensorflow\/tfjs-node@4\.22\.0/);
  });

  test('npm is not let loose on a project of another package manager', async () => {
    const project = newProject();
    write(join(project, 'yarn.lock'), '');
    const { code, stderr } = await run(['--directory', project], standIns('exit 1'));
    expect(code).toBe(1);
    expect(stderr).toMatch(/with yarn, install scripts off/);
    expect(tree(project)).toEqual(['package.json', 'yarn.lock']);
  });
});

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  // One that has ended may still wait for init to collect it.
  const stat = `/proc/${pid}/stat`;
  return !existsSync(stat) || !/\) Z /.test(readFileSync(stat, 'utf8'));
}

describe('parts', () => {
  test('Node and platform', () => {
    expect(() => checkNode('20.17.0', '9')).not.toThrow();
    expect(() => checkNode('24.0.0', '10')).not.toThrow();
    expect(() => checkNode('20.16.0', '9')).toThrow(SetupError);
    expect(() => checkNode('18.20.0', '9')).toThrow(/expected Node >= 20\.17.*18\.20\.0/);
    expect(checkPlatform(false, 'linux', 'x64').name).toBe('linux-x64');
    expect(() => checkPlatform(false, 'win32', 'x64')).toThrow(/this is win32-x64/);
    expect(() => checkPlatform(true, 'darwin', 'arm64')).toThrow(/with --gpu/);
  });

  test('the cache folder follows the platform', () => {
    expect(cacheFolder({ HOME: '/home/x' }, 'linux')).toBe('/home/x/.cache/perception-r1');
    expect(cacheFolder({ HOME: '/home/x', XDG_CACHE_HOME: '/cache' }, 'linux')).toBe('/cache/perception-r1');
    expect(cacheFolder({ HOME: '/home/x', XDG_CACHE_HOME: 'relative' }, 'linux')).toBe(
      '/home/x/.cache/perception-r1',
    );
    expect(cacheFolder({ HOME: '/Users/x' }, 'darwin')).toBe('/Users/x/Library/Caches/perception-r1');
  });

  test('npm is asked for what package.json lists', () => {
    const name = '@tensorflow/tfjs-node';
    const listed = new Project(newProject({ devDependencies: { [name]: '^4.20.0' } }), false);
    expect(listed.installArguments(true)).toEqual(['install', '--ignore-scripts', `${name}@^4.20.0`]);
    const fresh = new Project(newProject(), false);
    expect(fresh.installArguments(true)).toEqual([
      'install',
      '--ignore-scripts',
      '--save-exact',
      `${name}@4.22.0`,
    ]);
    expect(fresh.installArguments(false)).toContain('--no-save');
  });

  test('the newest TensorFlow of the cache is taken, by its number', () => {
    const cache = folder('cache');
    for (const version of ['2.9.1', '2.21.0', '2.20.0']) {
      const wheel = { package: 'tensorflow-cpu', version, platform: 'linux-x64', cuda: [] };
      write(join(cache, `tensorflow/tensorflow-cpu-${version}-linux-x64/wheel.json`), JSON.stringify(wheel));
    }
    const platform = { os: 'linux', arch: 'x64', name: 'linux-x64' };
    const versions = (packages: string[], version?: string): string[] =>
      cachedTensorFlows(cache, platform, packages, version).map((one) => one.version);
    expect(versions(['tensorflow-cpu'])).toEqual(['2.21.0', '2.20.0', '2.9.1']);
    expect(versions(['tensorflow-cpu'], '2.20.0')).toEqual(['2.20.0']);
    expect(versions(['tensorflow'])).toEqual([]);
  });

  test('a folder is published as a whole or not at all', async () => {
    const cache = folder('cache');
    const target = join(cache, 'made');
    await expect(
      publish(target, (temporary) => {
        writeFileSync(join(temporary, 'half'), '');
        throw new Error('cut off');
      }),
    ).rejects.toThrow('cut off');
    expect(tree(cache)).toEqual([]);
    for (const content of ['first', 'second']) {
      await publish(target, (temporary) => {
        writeFileSync(join(temporary, 'file'), content);
        return temporary;
      });
    }
    expect(tree(cache)).toEqual(['made', 'made/file']);
    expect(readFileSync(join(target, 'file'), 'utf8')).toBe('first'); // whoever came first
  });

  test('a tree is linked, not copied, and missing or other files are seen', () => {
    const from = folder('from');
    write(join(from, 'lib/libx.so.2'), 'library');
    symlinkSync('libx.so.2', join(from, 'lib/libx.so'));
    const to = folder('to');
    expect(linkTree(from, to)).toBe('hard links');
    expect(statSync(join(to, 'lib/libx.so.2')).ino).toBe(statSync(join(from, 'lib/libx.so.2')).ino);
    expect(readFileSync(join(to, 'lib/libx.so'), 'utf8')).toBe('library');
    expect(holdsTree(to, from)).toBe(true);
    rmSync(join(to, 'lib/libx.so'));
    expect(holdsTree(to, from)).toBe(false);
    linkTree(from, folder('again'));
    rmSync(join(to, 'lib'), { recursive: true });
    write(join(to, 'lib/libx.so'), 'other');
    write(join(to, 'lib/libx.so.2'), 'other');
    expect(holdsTree(to, from)).toBe(false);
  });

  test('the patch takes one line, once, and can be taken back', () => {
    const text = [
      '"use strict";',
      'var util_1 = require("util");',
      'if ((0, util_1.isNullOrUndefined)(x) || (0, util_1.isArray)(x)) {}',
      '',
    ].join('\n');
    const once = patchUtil(text)!;
    expect(once.split('\n').filter((line, i) => line !== text.split('\n')[i])).toHaveLength(1);
    expect(patchUtil(once)).toBeNull();
    expect(once.replace(/^.*; was: (.*)$/m, '$1')).toBe(text); // the line says what it replaced
    const works = new Function('x', `${once.split('\n')[1]}\nreturn util_1.isNullOrUndefined(x);`);
    expect([null, undefined, 0, '', false].map((value) => works(value))).toEqual([
      true,
      true,
      false,
      false,
      false,
    ]);
    // A file that takes more from util, or nothing that is gone, is left alone.
    expect(patchUtil(`${text}util_1.promisify(f);`)).toBeNull();
    expect(patchUtil('var util_1 = require("util");\nutil_1.promisify(f);')).toBeNull();
  });
});

// One project for all of these, and the user's own cache: what it holds is not downloaded again.
describe('a whole set-up', () => {
  const minutes = 60_000;
  let project: string;
  let folderOfPackage: string;
  let first: commandLine.Run;
  let unavailable = '';

  /** What the environment cannot provide is a reason to skip; a set-up that fails is not. */
  const obstacles =
    /expected (pip|Python|npm on|make|one of) .*|.*pip offers none.*|.*(?:ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENOTCACHED).*/;

  beforeAll(async () => {
    project = newProject();
    folderOfPackage = join(project, 'node_modules/@tensorflow/tfjs-node');
    first = await run(['--directory', project]);
    if (first.code === 0) return;
    unavailable = obstacles.exec(first.stderr)?.[0] ?? '';
    if (unavailable) console.warn(`setup-tfjs: the whole set-up is not tested: ${unavailable}`);
  }, 15 * minutes);

  const provided = (context: TestContext): void => {
    if (unavailable) context.skip(unavailable);
    expect(first.stderr).not.toMatch(/perception-r1: setup-tfjs:/);
  };

  const stepLines = (run: commandLine.Run): string[] =>
    run.stderr.split('\n').filter((line) => /: (already )?done/.test(line));

  test('the first run works and lists each change', (context) => {
    provided(context);
    expect(first.code).toBe(0);
    expect(first.stdout).toMatch(
      /Checked: @tensorflow\/tfjs-node computes a matmul with TensorFlow \d+\.\d+/,
    );
    const changed = [
      'package.json',
      'package-lock.json',
      'node_modules/@tensorflow/tfjs-node/deps',
      'node_modules/@tensorflow/tfjs-node/lib/napi-v8/tfjs_binding.node',
      'node_modules/@tensorflow/tfjs-node/perception-r1-setup.json',
      ...patchedFiles.map((name) => `node_modules/@tensorflow/tfjs-node/${name}`),
    ];
    for (const name of changed) {
      expect(first.stdout).toContain(`  ${name}`);
      expect(existsSync(join(project, name))).toBe(true);
    }
    const { dependencies } = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8'));
    expect(dependencies).toEqual({ '@tensorflow/tfjs-node': '4.22.0' });
  });

  test(
    'the second run finds nothing to do, and still checks',
    async (context) => {
      provided(context);
      const files = tree(folderOfPackage);
      const second = await run(['--directory', project]);
      expect(second.code).toBe(0);
      expect(second.stdout).toMatch(/^Nothing to do/);
      expect(second.stdout).toMatch(/Checked: .* matmul/);
      const steps = stepLines(second);
      expect(steps.length).toBeGreaterThan(5);
      expect(steps.filter((line) => !line.endsWith('already done'))).toEqual([
        expect.stringMatching(/^check: done/),
      ]);
      expect(tree(folderOfPackage)).toEqual(files);
    },
    2 * minutes,
  );

  test(
    'what was removed is put back from the cache, and only that',
    async (context) => {
      provided(context);
      rmSync(join(folderOfPackage, 'lib'), { recursive: true });
      rmSync(join(folderOfPackage, 'deps/lib/libtensorflow.so'), { force: true });
      rmSync(join(folderOfPackage, 'deps/lib/libtensorflow.2.dylib'), { force: true });
      // No pip, no compiler, no npm: the cache is enough.
      const again = await run(['--directory', project], { PATH: folder('nothing'), npm_execpath: '' });
      expect(again.stderr).not.toMatch(/perception-r1:/);
      expect(again.code).toBe(0);
      const worked = stepLines(again).filter((line) => !line.endsWith('already done'));
      expect(worked.map((line) => line.split(':')[0])).toEqual([
        'libraries in place',
        'binding in place',
        'check',
      ]);
    },
    2 * minutes,
  );

  test(
    'a result that does not compute is an error with what was printed',
    async (context) => {
      provided(context);
      const file = join(folderOfPackage, 'dist/index.js');
      const text = readFileSync(file, 'utf8');
      writeFileSync(file, `throw new Error('broken on purpose');\n${text}`);
      const broken = await run(['--directory', project]);
      writeFileSync(file, text);
      expect(broken.code).toBe(1);
      expect(broken.stderr).toMatch(
        /expected the check to pass, it failed \(exit 1\):[\s\S]*broken on purpose/,
      );
      expect(broken.stderr).toMatch(/setup-tfjs-\S+\.log/);
    },
    2 * minutes,
  );

  test(
    'our operations are checked where the project has them',
    async (context) => {
      provided(context);
      symlinkSync(commandLine.pathOf('.'), join(project, 'node_modules/perception-r1'));
      const { code, stdout, stderr } = await run(['--directory', project]);
      expect(stderr).not.toMatch(/perception-r1:/);
      expect(code).toBe(0);
      expect(stdout).toContain('pairwiseIou takes the route "tensorflow"');
    },
    2 * minutes,
  );
});
