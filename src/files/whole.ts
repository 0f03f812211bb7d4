import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { PerceptionError } from '../errors.js';

/** What a file that is being written is called; a killed process leaves it behind. */
const partial = (path: string): string => join(dirname(path), `.${basename(path)}.partial`);

/** @returns whether a file of this name is the rest of a write that did not end */
export const isPartial = (name: string): boolean => name.startsWith('.') && name.endsWith('.partial');

/**
 * Writes a file as a whole or not at all: into a temporary file of the same folder, to the disk, then in place of what is
 * there. Whoever opens `path` meanwhile sees the old file or the new one.
 * @throws PerceptionError INVALID_ARGUMENT where the file system refuses
 */
export function writeWhole(path: string, ...chunks: readonly (string | Uint8Array)[]): void {
  const temporary = partial(path);
  try {
    const file = openSync(temporary, 'w');
    try {
      for (const chunk of chunks) writeFileSync(file, chunk);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
    syncToDisk(dirname(path)); // the new name, too
  } catch (error) {
    rmSync(temporary, { force: true });
    throw refused(path, 'written', error);
  }
}

/** Waits until a file, or the names in a folder, are on the disk. */
export function syncToDisk(path: string): void {
  if (process.platform === 'win32') return; // opens no folders, and needs a file that is open for writing
  const file = openSync(path, 'r');
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

const remedies: Record<string, string> = {
  ENOSPC: 'the disk is full: make room, or choose a folder on another disk',
  EDQUOT: 'your share of the disk is used up: make room, or choose a folder on another disk',
  EROFS: 'the file system is read-only: choose another folder',
  EACCES: 'this user may not: change the permissions, or choose another folder',
  EPERM: 'this user may not: change the permissions, or choose another folder',
  ENOTDIR: 'a part of the path is a file, not a folder',
  ENOENT: 'a folder of the path is not there, or was removed',
};

/** The error for a file that could not be read, written or made; an error that is not the file system's stays as it is. */
export function refused(path: string, what: 'read' | 'written' | 'made', error: unknown): Error {
  const { code, syscall, message } = error as NodeJS.ErrnoException;
  if (code === undefined || syscall === undefined) return error as Error;
  const remedy = remedies[code];
  return new PerceptionError(
    'INVALID_ARGUMENT',
    `${path}: expected a path that can be ${what}, received ${remedy ? `${code} (${remedy})` : message}`,
    { cause: error },
  );
}
