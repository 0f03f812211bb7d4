import { expect } from 'vitest';

/** The tags of a document, checked to be closed in order; style sheets and what HTML never closes are left out. */
export function tagsOf(markup: string): string[] {
  const open: string[] = [];
  const tags: string[] = [];
  const text = markup.replace(/<!doctype html>/, '').replaceAll(/<style>[^<]*<\/style>/g, '');
  const rest = text.replaceAll(
    /<(\/?)([a-zA-Z][\w-]*)((?:\s+[\w:-]+(?:="[^"<]*")?)*)\s*(\/?)>/g,
    (_, end, name, __, alone) => {
      if (end) expect(open.pop()).toBe(name);
      else {
        tags.push(name);
        if (!alone && name !== 'meta') open.push(name);
      }
      return '';
    },
  );
  expect(open).toEqual([]);
  expect(rest).not.toMatch(/[<>]/);
  return tags;
}
