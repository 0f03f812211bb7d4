/** Rows of cells as aligned columns: the first one to the left, the others to the right, the first row underlined. */
export function formatTable(rows: readonly (readonly string[])[], indent = '  '): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const lines = rows.map(
    (row) =>
      indent +
      row
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)))
        .join('  '),
  );
  lines.splice(1, 0, indent + widths.map((width) => '-'.repeat(width)).join('  '));
  return lines.join('\n');
}
