/** Words whose stems are not by rule. */
const irregular: Readonly<Record<string, string>> = {
  skies: 'sky',
  sky: 'sky',
  dying: 'die',
  lying: 'lie',
  tying: 'tie',
  news: 'news',
  innings: 'inning',
  inning: 'inning',
  outings: 'outing',
  outing: 'outing',
  cannings: 'canning',
  canning: 'canning',
  howe: 'howe',
  proceed: 'proceed',
  exceed: 'exceed',
  succeed: 'succeed',
};

/** A suffix, what takes its place, and whether it does so after `stem`; without a condition always. */
type Rule = readonly [suffix: string, replacement: string, condition?: (stem: string) => boolean];

const measured = (stem: string): boolean => measure(stem) > 0;
const measuredTwice = (stem: string): boolean => measure(stem) > 1;

/** Rules from `suffix>replacement` ones, all of one condition. */
const rules = (text: string, condition?: Rule[2]): Rule[] =>
  text.split(' ').map((rule) => {
    const [suffix, replacement] = rule.split('>') as [string, string];
    return condition ? [suffix, replacement, condition] : [suffix, replacement];
  });

const step1a = rules('sses>ss ies>i ss>ss s>');

const step2 = [
  ...rules('ational>ate tional>tion enci>ence anci>ance izer>ize bli>ble alli>al entli>ent', measured),
  ...rules('eli>e ousli>ous ization>ize ation>ate ator>ate alism>al iveness>ive', measured),
  ...rules('fulness>ful ousness>ous aliti>al iviti>ive biliti>ble fulli>ful', measured),
  ...rules('logi>log', (stem) => measured(`${stem}l`)),
];

const step3 = rules('icate>ic ative> alize>al iciti>ic ical>ic ful> ness>', measured);

const step4 = [
  ...rules('al> ance> ence> er> ic> able> ible> ant> ement> ment> ent>', measuredTwice),
  ...rules('ion>', (stem) => measuredTwice(stem) && /[st]$/.test(stem)),
  ...rules('ou> ism> ate> iti> ous> ive> ize>', measuredTwice),
];

const step5b = rules('ll>l', (stem) => measuredTwice(`${stem}l`));

/**
 * @internal The stem of a lower-case word by M. Porter's algorithm ("An algorithm for suffix stripping", Program 14(3), 1980)
 * with the extensions of nltk's PorterStemmer, oddities included. In patterns u is for characters beyond UTF-16 units.
 */
export function porterStem(word: string): string {
  if (Object.hasOwn(irregular, word)) return irregular[word]!;
  if (/^.{0,2}$/su.test(word)) return word;
  let stem = /^.ies$/su.test(word) ? word.slice(0, -1) : replaced(word, step1a);
  stem = step1b(stem);
  if (/.[^aeiou]y$/su.test(stem) && consonants(stem).at(-2)) stem = `${stem.slice(0, -1)}i`;
  stem = afterStep2(stem);
  stem = replaced(stem, step3);
  stem = replaced(stem, step4);
  stem = afterStep5a(stem);
  return replaced(stem, step5b);
}

/** By the first rule whose suffix `word` has, or not at all. */
function replaced(word: string, all: readonly Rule[]): string {
  const rule = all.find(([suffix]) => word.endsWith(suffix));
  if (!rule) return word;
  const [suffix, replacement, condition] = rule;
  const stem = word.slice(0, word.length - suffix.length);
  return !condition || condition(stem) ? stem + replacement : word;
}

function step1b(word: string): string {
  if (word.endsWith('ied')) return word.slice(0, /^.ied$/su.test(word) ? -1 : -2);
  if (word.endsWith('eed')) return measured(word.slice(0, -3)) ? word.slice(0, -1) : word;
  const suffix = ['ed', 'ing'].find((ending) => word.endsWith(ending));
  if (suffix === undefined) return word;
  const stem = word.slice(0, -suffix.length);
  if (consonants(stem).every(Boolean)) return word;
  if (/(?:at|bl|iz)$/.test(stem)) return `${stem}e`;
  if (/\*d$/.test(stem)) return `${stem.slice(0, -2)}d`; // nltk's name of its next rule, which it also takes for a suffix
  if (/(.)\1$/su.test(stem) && consonants(stem).at(-1))
    return /[lsz]$/.test(stem) ? stem : stem.replace(/.$/su, '');
  return measure(stem) === 1 && endsInShortSyllable(stem) ? `${stem}e` : stem;
}

function afterStep2(word: string): string {
  const stem = word.slice(0, -4);
  return word.endsWith('alli') && measured(stem) ? afterStep2(`${stem}al`) : replaced(word, step2);
}

function afterStep5a(word: string): string {
  if (!word.endsWith('e')) return word;
  const stem = word.slice(0, -1);
  const m = measure(stem);
  return m > 1 || (m === 1 && !endsInShortSyllable(stem)) ? stem : word;
}

/** Of each UTF-16 unit. A y is one at the beginning and after a vowel. */
function consonants(word: string): boolean[] {
  const flags: boolean[] = [];
  for (let i = 0; i < word.length; i++) {
    flags.push(word[i] === 'y' ? i === 0 || !flags[i - 1] : !'aeiou'.includes(word[i]!));
  }
  return flags;
}

/** How often a consonant follows a vowel. */
function measure(stem: string): number {
  const flags = consonants(stem);
  return flags.filter((consonant, i) => i > 0 && consonant && !flags[i - 1]).length;
}

/** Consonant, vowel, consonant other than w, x, y; or nothing but a vowel and a consonant. */
function endsInShortSyllable(word: string): boolean {
  const end = /[^aeiou][aeiouy][^aeiouwxy]$/su.exec(word);
  return (end !== null && consonants(word)[end.index]!) || /^[aeiou][^aeiou]$/su.test(word);
}
