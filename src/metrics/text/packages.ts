import { createRequire } from 'node:module';

/** Something made of an optional package, or why it could not be. */
export type Loaded<T> = { value: T } | { missing: string };

/** @internal What `load` makes of the optional package `name`: on first use, once. */
export function lazily<T>(name: string, load: (require: NodeJS.Require) => T): () => Loaded<T> {
  let loaded: Loaded<T> | undefined;
  return () => {
    loaded ??= attempt(name, load);
    return loaded;
  };
}

function attempt<T>(name: string, load: (require: NodeJS.Require) => T): Loaded<T> {
  try {
    return { value: load(createRequire(import.meta.url)) };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const reason = message.split('\n')[0]!;
    const absent = code === 'MODULE_NOT_FOUND' && reason.includes(`'${name}'`);
    return {
      missing: `${name} ${absent ? 'is not installed' : `could not be loaded (${reason})`}: npm install ${name}`,
    };
  }
}
