/** A file cannot be opened, read or written. */
export class FileError extends Error {
  override readonly name: string = 'FileError';
}
