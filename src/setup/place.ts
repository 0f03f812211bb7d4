import {
  copyFileSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { names } from './cache.js';

/** How files of the cache came into the project. */
export type LinkKind = 'hard links' | 'symbolic links' | 'copies';

/**
 * Puts a folder of the cache into the project without a second copy of its gigabyte: hard links, which outlive the
 * cache; symbolic links where the cache is on another disk; copies where there are neither.
 */
export function linkTree(from: string, to: string): LinkKind {
  const ways: [LinkKind, (source: string, target: string) => void][] = [
    ['hard links', linkSync],
    ['symbolic links', symlinkSync],
    ['copies', copyFileSync],
  ];
  const place = (source: string, target: string): void => {
    try {
      ways[0]![1](source, target);
    } catch (error) {
      if (ways.length === 1 || !cannotLink.has((error as NodeJS.ErrnoException).code ?? '')) throw error;
      ways.shift(); // nor will it do for the next file
      place(source, target);
    }
  };
  walk(from, (path, type) => {
    const target = join(to, path);
    if (type === 'folder') mkdirSync(target, { recursive: true });
    else if (type === 'link') symlinkSync(readlinkSync(join(from, path)), target);
    else place(join(from, path), target);
  });
  return ways[0]![0];
}

const cannotLink = new Set(['EXDEV', 'EPERM', 'EMLINK', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']);

/** Whether every file of one folder is in the other, by name and size. */
export function holdsTree(folder: string, from: string): boolean {
  let complete = true;
  walk(from, (path, type) => {
    const there = statSync(join(folder, path), { throwIfNoEntry: false });
    if (!there) complete = false;
    else if (type === 'file' && there.size !== statSync(join(from, path)).size) complete = false;
  });
  return complete;
}

function walk(
  root: string,
  visit: (path: string, type: 'file' | 'folder' | 'link') => void,
  path = '',
): void {
  const stat = lstatSync(join(root, path));
  visit(path, stat.isSymbolicLink() ? 'link' : stat.isDirectory() ? 'folder' : 'file');
  if (!stat.isDirectory()) return;
  for (const name of names(join(root, path))) walk(root, visit, join(path, name));
}

/** Replaces a folder as a whole; `fill` gets an empty one. */
export function replaceFolder(folder: string, fill: (temporary: string) => void): void {
  const temporary = `${folder}.new`;
  const old = `${folder}.old`;
  for (const path of [temporary, old]) rmSync(path, { recursive: true, force: true });
  mkdirSync(temporary, { recursive: true });
  fill(temporary);
  if (existsSync(folder)) renameSync(folder, old);
  renameSync(temporary, folder);
  rmSync(old, { recursive: true, force: true });
}

/** Replaces a file as a whole. One that package managers have linked into their own store is left alone there. */
export function replaceFile(path: string, content: string | Buffer): void {
  mkdirSync(dirname(path), { recursive: true });
  const temporary = `${path}.new`;
  writeFileSync(temporary, content);
  renameSync(temporary, path);
}

/** Whether two files hold the same bytes. */
export function sameContent(a: string, b: string): boolean {
  return existsSync(a) && existsSync(b) && readFileSync(a).equals(readFileSync(b));
}

/**
 * util.isNullOrUndefined and util.isArray are gone in Node 23. Two compiled files of the package use them, and nothing
 * else of util.
 */
export const patchedFiles = ['dist/nodejs_kernel_backend.js', 'dist/kernels/TopK.js'] as const;

const original = 'var util_1 = require("util");';

/** The line that takes the place of the original one, which it names so that it can be put back. */
const patched =
  'var util_1 = { isArray: Array.isArray, isNullOrUndefined: function (x) { return x === null || x === undefined; } }; ' +
  `// perception-r1 setup-tfjs, for Node >= 23; was: ${original}`;

/** The patch of one file's text; null where it needs none. */
export function patchUtil(text: string): string | null {
  const lines = text.split('\n');
  const at = lines.findIndex((line) => line.trimEnd() === original);
  const used: string[] = text.match(/\butil_1\.(\w+)/g) ?? [];
  if (at < 0 || !used.includes('util_1.isNullOrUndefined')) return null;
  const others = used.filter((name) => name !== 'util_1.isNullOrUndefined' && name !== 'util_1.isArray');
  if (others.length > 0) return null; // not the file known: what else it takes from util must stay
  lines[at] = patched;
  return lines.join('\n');
}
