/** A stretch of a text, and whether the other text has it too. */
export interface Stretch {
  text: string;
  common: boolean;
}

/** What is written without spaces. */
const dense = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}]/u.source;

/** Words, stretches of white space, and all else one by one. */
const tokens = new RegExp(`(?:(?!${dense})[\\p{L}\\p{N}\\p{M}])+|\\s+|.`, 'gsu');

/**
 * What two texts have in common, by a longest common subsequence of their words, of which there may be 65,535; time and
 * memory are in proportion to the product of their numbers. The stretches of each text make up that text.
 */
export function difference(a: string, b: string): { a: Stretch[]; b: Stretch[] } {
  const [words, others] = [a.match(tokens) ?? [], b.match(tokens) ?? []];
  const width = others.length + 1;
  // longest[i, j]: of the words from i on and the others from j on.
  const longest = new Uint16Array((words.length + 1) * width);
  for (let i = words.length - 1; i >= 0; i--) {
    for (let j = others.length - 1; j >= 0; j--) {
      const at = i * width + j;
      longest[at] =
        words[i] === others[j]
          ? longest[at + width + 1]! + 1
          : Math.max(longest[at + width]!, longest[at + 1]!);
    }
  }
  const result = { a: [] as Stretch[], b: [] as Stretch[] };
  for (let i = 0, j = 0; i < words.length || j < others.length; ) {
    const at = i * width + j;
    if (i < words.length && j < others.length && words[i] === others[j]) {
      append(result.a, words[i++]!, true);
      append(result.b, others[j++]!, true);
    } else if (j === others.length || (i < words.length && longest[at + width]! >= longest[at + 1]!)) {
      append(result.a, words[i++]!, false);
    } else {
      append(result.b, others[j++]!, false);
    }
  }
  return result;
}

function append(stretches: Stretch[], text: string, common: boolean): void {
  const last = stretches.at(-1);
  if (last?.common === common) last.text += text;
  else stretches.push({ text, common });
}
