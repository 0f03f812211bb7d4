import type { Problems } from '../metrics/problems.js';
import { figure, shortened } from '../report/markup.js';
import { pageHtml } from '../report/page.js';
import type { EvalTask, Evaluation } from './evaluation.js';
import { categorySection, distributionSection } from './report/distributions.js';
import { figureSection, problemSection, unitOf } from './report/figures.js';
import { Gallery, itemSections } from './report/items.js';
import { style } from './report/style.js';

export interface EvaluationReportOptions {
  /** The image folder; without it boxes are drawn on a blank canvas. */
  images?: string;
  title: string;
  /** Of the package. */
  version: string;
  now: Date;
  /** Images that could not be shown are added. */
  problems?: Problems;
}

const taskNames: Record<EvalTask, string> = {
  detection: 'Detection',
  grounding: 'Grounding',
  counting: 'Counting',
  ocr: 'OCR',
};

/**
 * An evaluation as one HTML page that needs nothing else (`pageHtml`): figures, curves and distributions, and the worst and
 * the best items, with their boxes over the image where there is a folder of images. What a model wrote is shown as text.
 * The number of items hardly changes the page's size.
 */
export function evaluationReport(evaluation: Evaluation, options: EvaluationReportOptions): string {
  const { task, count, items, categories = [] } = evaluation;
  const gallery = new Gallery(options.images);
  const examples = itemSections(task, items, gallery);
  const unseen = gallery.problems.list();
  options.problems?.merge(unseen);
  const when = `${options.now.toISOString().slice(0, 16).replace('T', ' ')} UTC`;
  return pageHtml({
    title: shortened(options.title, 200),
    head: `<p>${taskNames[task]} · ${figure(count)} ${unitOf(task, count)} · ${when}</p>`,
    version: options.version,
    style,
    sections: [
      problemSection([...evaluation.problems, ...unseen]),
      figureSection(evaluation),
      distributionSection(task, items),
      categorySection(categories),
      ...examples,
    ],
  });
}
