import { porterStem } from './porter.js';

/** What is not matched yet: words, and their places in the text. */
interface Words {
  texts: string[];
  places: number[];
}

/**
 * @internal METEOR (Lavie & Agarwal 2007; alpha 0.9, beta 3, gamma 0.5) of tokens against one reference, as
 * `nltk.translate.meteor_score` of nltk 3.10: words match if they are equal but for case, then if their Porter stems are,
 * then if one stem is a synonym of the other (for of what is left nltk keeps the stems only).
 *
 * @param synonyms of a lower-case word
 */
export function meteor(
  reference: readonly string[],
  hypothesis: readonly string[],
  synonyms: (word: string) => Iterable<string>,
): number {
  /** Of each word of the hypothesis the place of the one that it matches, or -1. */
  const matches = new Int32Array(hypothesis.length).fill(-1);
  let truth = lowerCase(reference);
  let found = lowerCase(hypothesis);
  const match = (forms: (word: string) => Iterable<string>): void => {
    [truth, found] = matchWords(truth, found, forms, matches);
  };
  match((word) => [word]);
  for (const words of [truth, found]) words.texts = words.texts.map(porterStem);
  match((word) => [word]);
  const formsOf = new Map<string, string[]>();
  match((word) => {
    const forms = formsOf.get(word) ?? [word, ...synonyms(word)];
    formsOf.set(word, forms);
    return forms;
  });

  const count = hypothesis.length - found.texts.length;
  if (count === 0) return 0;
  const precision = count / hypothesis.length;
  const recall = count / reference.length;
  const mean = (precision * recall) / (0.9 * precision + (1 - 0.9) * recall);
  // A chunk is a run of neighbours that match neighbours in the same order.
  const chunks = matches.filter(
    (place, i) => place >= 0 && (place === 0 || matches[i - 1] !== place - 1),
  ).length;
  return (1 - 0.5 * (chunks / count) ** 3) * mean;
}

const lowerCase = (tokens: readonly string[]): Words => ({
  texts: tokens.map((token) => token.toLowerCase()),
  places: [...tokens.keys()],
});

/** From the last word of `found` on, each is matched with the last free one of `truth` among its forms. Returns the rest. */
function matchWords(
  truth: Words,
  found: Words,
  forms: (word: string) => Iterable<string>,
  matches: Int32Array,
): [truth: Words, found: Words] {
  const free = new Map<string, number[]>();
  truth.texts.forEach((text, j) => {
    const indices = free.get(text);
    if (indices) indices.push(j);
    else free.set(text, [j]);
  });
  const used = new Set<number>();
  for (let i = found.texts.length - 1; i >= 0; i--) {
    let last: number[] | undefined;
    for (const form of forms(found.texts[i]!)) {
      const indices = free.get(form);
      if (indices && (indices.at(-1) ?? -1) > (last?.at(-1) ?? -1)) last = indices;
    }
    const j = last?.pop();
    if (j === undefined) continue;
    used.add(j);
    matches[found.places[i]!] = truth.places[j]!;
  }
  const rest = ({ texts, places }: Words, isFree: (i: number) => boolean): Words => ({
    texts: texts.filter((_, i) => isFree(i)),
    places: places.filter((_, i) => isFree(i)),
  });
  return [rest(truth, (j) => !used.has(j)), rest(found, (i) => matches[found.places[i]!]! < 0)];
}
