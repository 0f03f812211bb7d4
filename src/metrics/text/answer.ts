/** Chat tokens that generated text may hold. */
const chatTokens = /<\|(?:im_start|im_end|endoftext)\|>/g;

/**
 * @internal The text that a completion answers with, as the OCR reward reads it (`read_text` of native/core/text): without
 * thoughts, `<answer>` and chat tokens, and trimmed if there were any.
 */
export function answerText(completion: string): string {
  const pieces = answerPieces(completion);
  const text = (pieces ?? [completion]).map((piece) => piece.replace(chatTokens, '')).join('');
  return pieces || text.length !== completion.length
    ? text.replace(/^[ \t-\r]+|(?<![ \t-\r])[ \t-\r]+$/g, '')
    : text;
}

/** What lies outside thoughts, and inside of `<answer>` where there is one; null where nothing of the kind is found. */
function answerPieces(text: string): string[] | null {
  let pieces: string[] | null = null;
  let answer = false; // inside of <answer>
  let begin = 0;
  let end = text.length;
  for (let at = text.indexOf('<'); at >= 0 && at < end; at = text.indexOf('<', at)) {
    if (text.startsWith('<think>', at)) {
      pieces ??= [];
      pieces.push(text.slice(begin, at));
      const close = text.indexOf('</think>', at);
      if (close < 0) return pieces;
      begin = at = close + '</think>'.length;
    } else if (!answer && text.startsWith('</think>', at)) {
      pieces = [];
      begin = at += '</think>'.length;
    } else if (!answer && text.startsWith('<answer>', at)) {
      pieces = [];
      answer = true;
      begin = at += '<answer>'.length;
      const close = text.indexOf('</answer>', at);
      if (close >= 0) end = close;
    } else {
      at++;
    }
  }
  return pieces && [...pieces, text.slice(begin, end)];
}
