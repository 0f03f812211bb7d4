/** Texts as pages have them, and readings of them with errors. */
import type { Generator } from '../../test/reference/random.js';

const letters =
  'eeeeeeeeeeeetttttttttaaaaaaaaooooooooiiiiiiinnnnnnnsssssshhhhhhrrrrrrddddllllcccuuummmwwffggyyppbbvk';

/** How many code points. */
export const characters = (text: string): number => [...text].length;

/** `length` characters of words of 2 to 10 letters, with full stops. */
export function english(random: Generator, length: number): string {
  let text = '';
  while (text.length < length) {
    for (let left = random.integer(2, 10); left > 0; left--)
      text += letters[random.integer(0, letters.length - 1)];
    text += random.next() < 0.1 ? '. ' : ' ';
  }
  return text.slice(0, length);
}

/** `length` of 2,000 characters, the first ones often. */
export function chinese(random: Generator, length: number): string {
  const codes = Array.from({ length }, () => 0x4e00 + Math.floor(2000 * random.next() ** 3));
  return String.fromCodePoint(...codes);
}

/** The text with that share of its characters replaced, left out, or followed by another one. */
export function withErrors(random: Generator, text: string, share: number): string {
  const all = [...text];
  const any = (): string => all[random.integer(0, all.length - 1)]!;
  return all
    .map((character) => {
      if (random.next() >= share) return character;
      const kind = random.integer(0, 2);
      return kind === 0 ? any() : kind === 1 ? '' : character + any();
    })
    .join('');
}
