import { describeStatus } from '../rewards/status.js';
import type { Entry } from './rollouts.js';
import type { ScoredBatch } from './scoring.js';

/** A float32 with as few digits as tell it from its neighbours, or nearly so; NaN becomes null, as JSON has none. */
function short(value: number): number | null {
  if (Number.isNaN(value)) return null;
  const rounded = Math.round(value * 1e8) / 1e8;
  return Math.fround(rounded) === value ? rounded : value;
}

/**
 * A batch as JSON lines: one per completion, in the order of the input, and one with the error for each line that was
 * not scored.
 * @param grouped whether single lines have groups, and so advantages
 */
export function scoredLines(batch: ScoredBatch, grouped: boolean): string {
  let text = '';
  batch.entries.forEach((entry, i) => {
    const head = `{"line":${entry.line}${entry.id === undefined ? '' : `,"id":${entry.id}`}`;
    const scored = batch.scored[i];
    if (!scored) {
      text += `${head},"error":${JSON.stringify(entry.error)}}\n`;
      return;
    }
    const { scores, at } = scored;
    const recipe = JSON.stringify(entry.recipe!.name);
    for (let k = 0; k < entry.completions.length; k++) {
      text += head;
      if (entry.isGroup) text += `,"index":${k}`;
      text += `,"recipe":${recipe},"reward":${short(scores.rewards[at + k]!)}`;
      if (entry.isGroup || grouped) text += `,"advantage":${short(batch.advantages[batch.starts[i]! + k]!)}`;
      let separator = ',"terms":{';
      for (const name of Object.keys(scores.terms)) {
        text += `${separator}"${name}":${short(scores.terms[name]![at + k]!)}`;
        separator = ',';
      }
      const status = scores.status[at + k]!;
      text += `},"faults":${status === 0 ? '[]' : JSON.stringify(describeStatus(status))}}\n`;
    }
  });
  return text;
}

const shownInFull = 20;

/** Names bad lines, the first ones in full and the rest as a count. */
export function badLineReporter(note: (message: string) => void): {
  add(entries: readonly Entry[]): void;
  end(): void;
} {
  let count = 0;
  return {
    add(entries) {
      for (const { line, error } of entries) {
        if (error && ++count <= shownInFull) note(`line ${line}: ${error.code}: ${error.message}`);
      }
    },
    end() {
      if (count > shownInFull) note(`… and ${count - shownInFull} more lines that could not be scored`);
    },
  };
}
