import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { bindingFile, cachedBinding, compileBinding } from './binding.js';
import { cacheFolder, sweep } from './cache.js';
import { type CheckResult, check } from './check.js';
import { Log, type RunOptions } from './command.js';
import { checkNode, checkPlatform, type Platform, type Tool, Tools } from './environment.js';
import { SetupError } from './failure.js';
import {
  holdsTree,
  linkTree,
  patchedFiles,
  patchUtil,
  replaceFile,
  replaceFolder,
  sameContent,
} from './place.js';
import { Project, tfjsVersion } from './project.js';
import {
  cachedTensorFlows,
  cudaFolder,
  fetchCuda,
  fetchTensorFlow,
  type TensorFlow,
  wheelPackages,
} from './wheel.js';

export interface SetupOptions {
  /** The folder with package.json. */
  directory: string;
  gpu?: boolean;
  /** A version of TensorFlow; without it what the project has, else the newest in the cache, else pip's newest. */
  tensorflow?: string;
  /** Whether npm may write package.json and the lock file; it may unless this is false. */
  save?: boolean;
}

/** A part of the set-up, which knows whether it is done and can be run again. */
export interface Step {
  readonly name: string;
  /** What run() calls. */
  readonly needs: readonly Tool[];
  isDone(): boolean;
  /** What run() would do and which files it would change, one line each. */
  describe(): string[];
  /** @returns what was changed, one line each */
  run(options: RunOptions): Promise<string[]>;
}

/** What happens, for the one who prints it. */
export interface Reporter {
  /** @param index of the step, from 0 */
  started(step: string, index: number, total: number): void;
  /** @param changes null where there was nothing to do, and the step was not started */
  finished(step: string, changes: readonly string[] | null): void;
}

export interface SetupResult extends CheckResult {
  packageName: string;
  /** All that was changed, one line each. */
  changes: string[];
}

/** The set-up of one project. */
export class Setup {
  readonly project: Project;
  readonly platform: Platform;
  readonly cache: string;
  readonly log: Log;
  readonly steps: readonly Step[];
  /** What run() has changed so far; also after it threw. */
  readonly changes: string[] = [];
  readonly #options: SetupOptions;
  readonly #tools: Tools;

  /** @throws SetupError for an operating system, a processor or a Node that is not supported */
  constructor(options: SetupOptions) {
    checkNode();
    this.platform = checkPlatform(options.gpu === true);
    this.project = new Project(options.directory, options.gpu === true);
    this.cache = cacheFolder();
    this.log = new Log(join(this.cache, 'logs'));
    this.#options = options;
    this.#tools = new Tools(options.directory);
    const all = [this.#package(), this.#tensorflow(), this.#cuda(), this.#binding()];
    this.steps = [...all, this.#libraries(), this.#placedBinding(), this.#patch(), this.#record()].filter(
      (step) => step !== undefined,
    );
  }

  /**
   * The steps that are still to be done.
   * @throws SetupError where a program that one of them needs is missing
   */
  open(): Step[] {
    const open = this.steps.filter((step) => !step.isDone());
    this.#tools.require(open.flatMap((step) => step.needs));
    return open;
  }

  /**
   * Does what is not done, then checks the result.
   * @throws SetupError; the signal's reason after an interruption
   */
  async run(reporter: Reporter, signal?: AbortSignal): Promise<SetupResult> {
    this.open();
    for (const folder of ['tensorflow', 'cuda', 'binding']) sweep(join(this.cache, folder));
    const total = this.steps.length + 1;
    const options: RunOptions = { log: this.log, signal };
    for (const [index, step] of this.steps.entries()) {
      if (step.isDone()) {
        reporter.finished(step.name, null);
        continue;
      }
      reporter.started(step.name, index, total);
      const changes = await step.run(options);
      this.changes.push(...changes);
      if (!step.isDone())
        throw new SetupError(`${step.name}: expected it to be done`, `See ${this.log.path}.`);
      reporter.finished(step.name, changes);
    }
    reporter.started('check', total - 1, total);
    const { folder, packageName, packageFolder } = this.project;
    const made = [this.#needTensorFlow().folder, dirname(this.#bindingPath()), join(packageFolder, 'deps')];
    const result = await check(folder, packageName, made, options);
    reporter.finished('check', []);
    return { ...result, packageName, changes: this.changes };
  }

  /** The TensorFlow of this set-up, where the cache has it. A project stays with the one it has. */
  #found(): TensorFlow | undefined {
    const packages = wheelPackages(this.platform, this.#options.gpu === true);
    const cached = cachedTensorFlows(this.cache, this.platform, packages, this.#options.tensorflow);
    const has = readRecord(this.#recordPath())?.tensorflow;
    return cached.find((one) => one.package === has?.package && one.version === has?.version) ?? cached[0];
  }

  #needTensorFlow(): TensorFlow {
    const found = this.#found();
    if (found) return found;
    throw new SetupError(`${this.cache}: expected libtensorflow in it`, 'Run the command again.');
  }

  #bindingPath(tensorflow = this.#needTensorFlow()): string {
    const name = this.project.packageName.replace('@tensorflow/', '');
    return cachedBinding(this.cache, name, tfjsVersion, tensorflow, this.platform);
  }

  /** A file of the package, for messages. */
  #shown(path: string): string {
    return relative(this.project.folder, join(this.project.packageFolder, path));
  }

  #package(): Step {
    const { project } = this;
    const save = this.#options.save !== false;
    return {
      name: `${project.packageName} ${tfjsVersion}`,
      needs: ['npm'],
      isDone: () => project.isInstalled(),
      describe: () => [
        `run npm ${project.installArguments(save).join(' ')}`,
        `changes node_modules${save ? ', package.json and package-lock.json' : ''}`,
      ],
      run: (options) => project.install(save, this.#tools, options),
    };
  }

  #tensorflow(): Step {
    const packages = wheelPackages(this.platform, this.#options.gpu === true);
    const { tensorflow: version } = this.#options;
    const folder = join(this.cache, 'tensorflow');
    return {
      name: 'libtensorflow',
      needs: ['pip', 'python'],
      isDone: () => this.#found() !== undefined,
      describe: () => [
        `run pip download --no-deps ${packages.join(', else ')}${version ? ` (version ${version})` : ''}`,
        `unpack its libraries and C headers into ${folder}`,
      ],
      run: async (options) => {
        const made = await fetchTensorFlow(
          this.cache,
          this.platform,
          packages,
          version,
          this.#tools,
          options,
        );
        return [`${made.folder} (from pip's ${made.package} ${made.version})`];
      },
    };
  }

  #cuda(): Step | undefined {
    if (!this.#options.gpu) return undefined;
    const target = (tensorflow: TensorFlow): string => cudaFolder(this.cache, tensorflow, this.platform);
    const wanted = (): string[] => this.#found()?.cuda ?? [];
    return {
      name: 'CUDA libraries',
      needs: ['pip', 'python'],
      isDone: () => {
        const tensorflow = this.#found();
        return tensorflow !== undefined && (tensorflow.cuda.length === 0 || existsSync(target(tensorflow)));
      },
      describe: () => [
        `run pip download --no-deps ${wanted().join(' ') || 'of the nvidia-* packages that the wheel names'}`,
        `unpack their libraries into ${join(this.cache, 'cuda')}`,
      ],
      run: async (options) => {
        const tensorflow = this.#needTensorFlow();
        await fetchCuda(this.cache, tensorflow, this.platform, this.#tools, options);
        return [`${target(tensorflow)} (from pip's ${tensorflow.cuda.length} nvidia-* packages)`];
      },
    };
  }

  #binding(): Step {
    return {
      name: 'binding compiled',
      needs: ['node-gyp', 'python', 'compiler'],
      isDone: () => {
        const tensorflow = this.#found();
        return tensorflow !== undefined && existsSync(this.#bindingPath(tensorflow));
      },
      describe: () => [
        `compile the package's binding with node-gyp`,
        `keep it in ${join(this.cache, 'binding')}`,
      ],
      run: async (options) => {
        const tensorflow = this.#needTensorFlow();
        const target = this.#bindingPath(tensorflow);
        await compileBinding(this.project.packageFolder, target, tensorflow, this.#tools, options);
        return [target];
      },
    };
  }

  #libraries(): Step {
    const deps = join(this.project.packageFolder, 'deps');
    const sources = (tensorflow: TensorFlow): [from: string, to: string][] => {
      const pairs: [string, string][] = ['lib', 'include'].map((name) => [
        join(tensorflow.folder, name),
        name,
      ]);
      // The libraries look for CUDA in ../nvidia, as in Python's site-packages.
      const cuda = join(cudaFolder(this.cache, tensorflow, this.platform), 'nvidia');
      return this.#options.gpu && existsSync(cuda) ? [...pairs, [cuda, 'nvidia']] : pairs;
    };
    return {
      name: 'libraries in place',
      needs: [],
      isDone: () => {
        const tensorflow = this.#found();
        return (
          tensorflow !== undefined &&
          sources(tensorflow).every(([from, to]) => holdsTree(join(deps, to), from))
        );
      },
      describe: () => [
        `link the libraries and headers into ${this.#shown('deps')}, in place of what is there`,
      ],
      run: async () => {
        const tensorflow = this.#needTensorFlow();
        const replaced = existsSync(deps);
        const kinds = new Set<string>();
        replaceFolder(deps, (folder) => {
          for (const [from, to] of sources(tensorflow)) kinds.add(linkTree(from, join(folder, to)));
        });
        const how = `${[...kinds].join(' and ')}${replaced ? '; replaces the folder that was there' : ''}`;
        return [`${this.#shown('deps')} (TensorFlow ${tensorflow.version}: ${how})`];
      },
    };
  }

  #placedBinding(): Step {
    const target = join(this.project.packageFolder, bindingFile);
    return {
      name: 'binding in place',
      needs: [],
      isDone: () => {
        const tensorflow = this.#found();
        return tensorflow !== undefined && sameContent(target, this.#bindingPath(tensorflow));
      },
      describe: () => [`copy the binding to ${this.#shown(bindingFile)}`],
      run: async () => {
        // A copy: Node follows links, and the binding finds its libraries from where it lies.
        replaceFile(target, readFileSync(this.#bindingPath()));
        return [this.#shown(bindingFile)];
      },
    };
  }

  #patch(): Step {
    const open = (): [name: string, text: string][] =>
      patchedFiles.flatMap((name) => {
        const path = join(this.project.packageFolder, name);
        const text = existsSync(path) ? patchUtil(readFileSync(path, 'utf8')) : null;
        return text === null ? [] : [[name, text]];
      });
    return {
      name: 'patch for Node >= 23',
      needs: [],
      isDone: () => existsSync(this.project.packageFolder) && open().length === 0,
      describe: () =>
        patchedFiles.map(
          (name) => `replace one line of ${this.#shown(name)}: util.isNullOrUndefined is gone in Node 23`,
        ),
      run: async () =>
        open().map(([name, text]) => {
          replaceFile(join(this.project.packageFolder, name), text);
          return `${this.#shown(name)} (one line: no util.isNullOrUndefined, which Node 23 dropped)`;
        }),
    };
  }

  #recordPath(): string {
    return join(this.project.packageFolder, 'perception-r1-setup.json');
  }

  /** What was done to the package, for those who find it changed. */
  #record(): Step {
    const content = (): string | undefined => {
      const tensorflow = this.#found();
      if (!tensorflow) return undefined;
      const record: SetupRecord = {
        by: 'perception-r1 setup-tfjs',
        tensorflow: { package: tensorflow.package, version: tensorflow.version, from: tensorflow.folder },
        added: ['deps', bindingFile, 'perception-r1-setup.json'],
        patched: [...patchedFiles],
        undo: `reinstall ${this.project.packageName}`,
      };
      return `${JSON.stringify(record, null, 2)}\n`;
    };
    return {
      name: 'record',
      needs: [],
      isDone: () => {
        const wanted = content();
        const path = this.#recordPath();
        return wanted !== undefined && existsSync(path) && readFileSync(path, 'utf8') === wanted;
      },
      describe: () => [`write down these changes in ${this.#shown('perception-r1-setup.json')}`],
      run: async () => {
        replaceFile(this.#recordPath(), content()!);
        return [this.#shown('perception-r1-setup.json')];
      },
    };
  }
}

interface SetupRecord {
  by: string;
  tensorflow: { package: string; version: string; from: string };
  added: string[];
  patched: string[];
  undo: string;
}

function readRecord(path: string): SetupRecord | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as SetupRecord;
  } catch {
    return undefined; // none, or one that was damaged: it is written again
  }
}
