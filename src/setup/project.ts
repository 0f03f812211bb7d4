import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type RunOptions, run, tail } from './command.js';
import type { Tools } from './environment.js';
import { SetupError } from './failure.js';

/** The one version of tfjs-node that is handled; it is also the last one released. */
export const tfjsVersion = '4.22.0';

interface PackageJson {
  version?: string;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
}

const read = (path: string): PackageJson => JSON.parse(readFileSync(path, 'utf8')) as PackageJson;

/** A folder with a package.json, and the tfjs package in its node_modules. */
export class Project {
  /** '@tensorflow/tfjs-node' or '@tensorflow/tfjs-node-gpu'. */
  readonly packageName: string;
  /** The package's folder. */
  readonly packageFolder: string;

  constructor(
    readonly folder: string,
    gpu: boolean,
  ) {
    this.packageName = `@tensorflow/tfjs-node${gpu ? '-gpu' : ''}`;
    this.packageFolder = join(folder, 'node_modules', this.packageName);
  }

  /**
   * Whether the package is there.
   * @throws SetupError where it is of another version
   */
  isInstalled(): boolean {
    const path = join(this.packageFolder, 'package.json');
    if (!existsSync(path)) return false;
    const { version } = read(path);
    if (version === tfjsVersion) return true;
    throw new SetupError(
      `${this.packageName}: expected version ${tfjsVersion}, found ${version} in ${this.packageFolder}`,
      `Run "npm install --ignore-scripts ${this.packageName}@${tfjsVersion}", then this command again.`,
    );
  }

  /** The arguments npm is called with. Its install script, which downloads, is what does not work. */
  installArguments(save: boolean): string[] {
    const { dependencies, devDependencies, optionalDependencies } = read(join(this.folder, 'package.json'));
    const listed = { ...optionalDependencies, ...devDependencies, ...dependencies }[this.packageName];
    const how = !save ? ['--no-save'] : listed === undefined ? ['--save-exact'] : [];
    return ['install', '--ignore-scripts', ...how, `${this.packageName}@${listed ?? tfjsVersion}`];
  }

  /** Installs the package with the user's npm. @returns what changed, one line each */
  async install(save: boolean, tools: Tools, options: RunOptions): Promise<string[]> {
    for (const [lock, manager] of Object.entries({ 'pnpm-lock.yaml': 'pnpm', 'yarn.lock': 'yarn' })) {
      if (existsSync(join(this.folder, lock))) {
        throw new SetupError(
          `${this.packageName}: expected it in node_modules, found none, and the project is ${manager}'s (${lock})`,
          `Add ${this.packageName}@${tfjsVersion} with ${manager}, install scripts off, then run this command again.`,
        );
      }
    }
    const files = ['package.json', 'package-lock.json'];
    const contents = (): string[] =>
      files.map((name) => {
        const path = join(this.folder, name);
        return existsSync(path) ? readFileSync(path, 'utf8') : '';
      });
    const before = contents();
    const { code, output } = await run(tools.get('npm'), this.installArguments(save), {
      ...options,
      cwd: this.folder,
    });
    if (code !== 0) {
      throw new SetupError(
        `npm install: expected it to install ${this.packageName}, it failed (exit ${code}):\n${tail(output)}`,
        `See ${options.log.path}.`,
      );
    }
    if (!this.isInstalled()) {
      throw new SetupError(
        `expected npm to install ${this.packageFolder}, it put the package elsewhere`,
        'In a workspace run this command with --directory in the folder that holds node_modules.',
      );
    }
    const after = contents();
    const summary = /^(?:added|changed|removed) \d+.*$/m.exec(output)?.[0] ?? 'see the log';
    return [
      ...files.filter((_, i) => before[i] !== after[i]).map((name) => `${name} (${this.packageName})`),
      `node_modules (npm: ${summary})`,
    ];
  }
}
