type Box = ArrayLike<number>;

const area = (b: Box): number => Math.max(0, b[2]! - b[0]!) * Math.max(0, b[3]! - b[1]!);

/** The IoU family for two boxes x1 y1 x2 y2 in double precision, straight from the papers. */
export function iou(a: Box, b: Box, kind: 'iou' | 'giou' | 'diou' | 'ciou'): number {
  const width = Math.max(0, Math.min(a[2]!, b[2]!) - Math.max(a[0]!, b[0]!));
  const height = Math.max(0, Math.min(a[3]!, b[3]!) - Math.max(a[1]!, b[1]!));
  const intersection = width * height;
  const union = area(a) + area(b) - intersection;
  const overlap = union > 0 ? intersection / union : 0;
  if (kind === 'iou') return overlap;
  const hullWidth = Math.max(a[2]!, b[2]!) - Math.min(a[0]!, b[0]!);
  const hullHeight = Math.max(a[3]!, b[3]!) - Math.min(a[1]!, b[1]!);
  if (kind === 'giou') {
    const hull = hullWidth * hullHeight;
    return hull > 0 ? overlap - (hull - union) / hull : overlap;
  }
  const dx = (a[0]! + a[2]! - b[0]! - b[2]!) / 2;
  const dy = (a[1]! + a[3]! - b[1]! - b[3]!) / 2;
  const diagonal = hullWidth ** 2 + hullHeight ** 2;
  const diou = overlap - (diagonal > 0 ? (dx * dx + dy * dy) / diagonal : 0);
  if (kind === 'diou') return diou;
  const angle = (box: Box): number => Math.atan2(box[2]! - box[0]!, box[3]! - box[1]!);
  const v = (4 / Math.PI ** 2) * (angle(b) - angle(a)) ** 2;
  return diou - (v > 0 ? (v * v) / (1 - overlap + v) : 0);
}
