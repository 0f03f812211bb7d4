"""json, numpy and scipy: Perception-R1's detection reward as one would compose it, one completion at a time."""

import json

import numpy
import scipy
from scipy.optimize import linear_sum_assignment

VERSIONS = f"numpy {numpy.__version__}, scipy {scipy.__version__}"
SAME, DIFFERENT = numpy.e / (numpy.e + 89), 1 / (numpy.e + 89)  # softmax of one of 90 classes


def reward(completion, truth, labels):
    try:
        items = json.loads(completion.removeprefix("```json\n").removesuffix("\n```"))
    except ValueError:
        return 0.0
    if not items:
        return 0.0
    boxes = numpy.array([item["bbox_2d"] for item in items], float)
    same = numpy.array([item["label"] for item in items])[:, None] == labels
    a, b = boxes[:, None], truth[None]
    area_a, area_b = ((x[..., 2:] - x[..., :2]).prod(-1) for x in (a, b))
    common = (numpy.minimum(a[..., 2:], b[..., 2:]) - numpy.maximum(a[..., :2], b[..., :2])).clip(0).prod(-1)
    union = area_a + area_b - common
    iou = common / union
    hull = (numpy.maximum(a[..., 2:], b[..., 2:]) - numpy.minimum(a[..., :2], b[..., :2])).prod(-1)
    giou = iou - (hull - union) / hull
    centres = numpy.abs((a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2).sum(-1)
    sizes = numpy.abs((a[..., 2:] - a[..., :2]) - (b[..., 2:] - b[..., :2])).sum(-1)
    rows, columns = linear_sum_assignment(5 * (centres + sizes) - 2 * giou - numpy.where(same, SAME, DIFFERENT))
    kept = iou[rows, columns] > 0.5
    rows, columns = rows[kept], columns[kept]
    if len(rows) == 0:
        return 0.25
    precision, recall = len(rows) / len(boxes), len(rows) / len(truth)
    f1 = 2 * precision * recall / (precision + recall)
    total = 0.25 + 0.75 * f1 + same[rows, columns].mean() + iou[rows, columns].mean()
    return min(max(total - 0.5 * (2 - precision - recall), 0), 3)


def prepare(kernel, parameters, data, threads, way):
    if threads > 1:
        return None
    size = parameters["groupSize"]

    def run():
        truths = [(numpy.array(t["boxes"], float), numpy.array(t["labels"])) for t in data["groundTruth"]]
        rewards = numpy.array([reward(text, *truths[i // size]) for i, text in enumerate(data["completions"])])
        groups = rewards.reshape(-1, size)
        deviations = groups - groups.mean(1, keepdims=True)
        return rewards, deviations / (groups.std(1, ddof=1, keepdims=True) + 1e-4)

    return run, lambda result: numpy.concatenate([values.ravel() for values in result])
