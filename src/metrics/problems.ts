/** Something in a file that could not be used: left out, counted, and named up to a few. */
export interface Problem {
  /** 'detections of unknown images' */
  kind: string;
  count: number;
  /** The first of them, at most five: 'image_id 42 (detection 17)'. */
  examples: string[];
}

const examplesKept = 5;

/** Collects problems by kind, in the order in which the kinds come first. */
export class Problems {
  readonly #kinds = new Map<string, Problem>();

  add(kind: string, example: string): void {
    this.#add({ kind, count: 1, examples: [example] });
  }

  /** Adds those of others, as if they had come after. */
  merge(problems: readonly Problem[]): void {
    for (const problem of problems) this.#add(problem);
  }

  #add({ kind, count, examples }: Problem): void {
    const known = this.#kinds.get(kind) ?? { kind, count: 0, examples: [] };
    known.count += count;
    known.examples.push(...examples.slice(0, examplesKept - known.examples.length));
    this.#kinds.set(kind, known);
  }

  list(): Problem[] {
    return [...this.#kinds.values()].map((problem) => ({ ...problem, examples: [...problem.examples] }));
  }
}
