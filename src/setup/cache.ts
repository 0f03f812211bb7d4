import { mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname, isAbsolute, join } from 'node:path';

/** This package's folder in the user's cache folder. */
export function cacheFolder(env: NodeJS.ProcessEnv = process.env, platform = process.platform): string {
  // The XDG specification tells to ignore a path that is not absolute.
  const xdg = env.XDG_CACHE_HOME;
  if (xdg !== undefined && isAbsolute(xdg)) return join(xdg, 'perception-r1');
  const home = env.HOME || homedir();
  return join(home, platform === 'darwin' ? 'Library/Caches' : '.cache', 'perception-r1');
}

const partial = '.partial-';

/**
 * Makes a folder or file as a whole or not at all: `make` fills a temporary folder beside it, and what it returns is
 * renamed into place. Where another process was faster, its result stays.
 */
export async function publish(
  target: string,
  make: (temporary: string) => Promise<string> | string,
): Promise<void> {
  const parent = dirname(target);
  const temporary = join(parent, `${partial}${basename(target)}-${process.pid}`);
  mkdirSync(parent, { recursive: true });
  rmSync(temporary, { recursive: true, force: true });
  mkdirSync(temporary);
  try {
    const made = await make(temporary);
    try {
      renameSync(made, target);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
    }
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

const day = 24 * 60 * 60 * 1000;

/** Removes what runs that were killed have left in a folder of the cache. Recent ones may belong to a live process. */
export function sweep(folder: string): void {
  for (const name of names(folder)) {
    const path = join(folder, name);
    if (name.startsWith(partial) && Date.now() - statSync(path).mtimeMs > day) {
      rmSync(path, { recursive: true, force: true });
    }
  }
}

/** The names in a folder; none where it does not exist. */
export function names(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
