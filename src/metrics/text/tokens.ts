import { type Loaded, lazily } from './packages.js';

/** @internal Where one of two texts has such a character, the PR1 evaluation has both cut by jieba. */
export const hasChinese = (text: string): boolean => /[\u4e00-\u9fa5]/.test(text);

/** @internal Python's `str.split()`, whose white space is not JavaScript's. */
export function splitWords(text: string): string[] {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: four of them are white space to Python
  return text.split(/[\p{White_Space}\x1c-\x1f]+/u).filter((token) => token !== '');
}

interface JiebaPackage {
  Jieba: { withDict(dict: Uint8Array): { cut(text: string, hmm: boolean): string[] } };
}

/** What jieba looks up in its dictionary, or one of the characters that it does not. */
const blocks = /([\u4e00-\u9fd5a-zA-Z0-9+#&._%-]+)|\r\n|./gsu;

/** In what is not Chinese and not in the dictionary: a word or number, or what lies between two. */
const latinWords = /[a-zA-Z0-9]+(?:\.[0-9]+)?%?|[^a-zA-Z0-9]+/g;

/**
 * @internal `jieba.lcut` of Python's jieba by the npm package `@node-rs/jieba`. That gets only what is to be looked up: its
 * versions differ from jieba in what they take for Chinese and in how they cut Latin words with dots, hyphens and the like.
 */
export const chineseWords: () => Loaded<(text: string) => string[]> = lazily('@node-rs/jieba', (require) => {
  const { Jieba } = require('@node-rs/jieba') as JiebaPackage;
  const { dict } = require('@node-rs/jieba/dict') as { dict: Buffer };
  const jieba = Jieba.withDict(dict);
  const known = new Set(dict.toString().match(/^[!-~]+(?= )/gm)); // C++, AT&T
  return (text) => {
    const tokens: string[] = [];
    for (const [character, block] of text.matchAll(blocks)) {
      if (block === undefined) {
        tokens.push(character);
        continue;
      }
      let latin = '';
      const flush = (): void => {
        for (const [word] of latin.matchAll(latinWords)) tokens.push(word);
        latin = '';
      };
      for (const token of jieba.cut(block, true)) {
        if (/^[!-~]+$/.test(token) && !known.has(token)) {
          latin += token;
        } else {
          flush();
          tokens.push(token);
        }
      }
      flush();
    }
    return tokens;
  };
});
