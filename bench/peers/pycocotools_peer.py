"""pycocotools: the average precision of each completion by an evaluation of its own, as VLM-R1's od_reward has it."""

import contextlib
import io
import json
from importlib.metadata import version

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

VERSIONS = version("pycocotools")
COMPLETIONS = 64  # of all; a hundred take some seconds


def record(box, category):
    x1, y1, x2, y2 = box
    return {"image_id": 1, "category_id": category, "bbox": [x1, y1, x2 - x1, y2 - y1]}


def average_precision(completion, truth):
    try:
        items = json.loads(completion.removeprefix("```json\n").removesuffix("\n```"))
    except ValueError:
        return 0.0
    categories = {label: i + 1 for i, label in enumerate(sorted(set(truth["labels"])))}
    annotations = [
        {**record(box, categories[label]), "id": i + 1, "iscrowd": 0, "area": (box[2] - box[0]) * (box[3] - box[1])}
        for i, (box, label) in enumerate(zip(truth["boxes"], truth["labels"]))
    ]
    coco = COCO()
    coco.dataset = {
        "images": [{"id": 1}],
        "annotations": annotations,
        "categories": [{"id": i, "name": label} for label, i in categories.items()],
    }
    coco.createIndex()
    found = [{**record(item["bbox_2d"], categories.get(item["label"], 0)), "score": 1.0} for item in items]
    if not found:
        return 0.0
    evaluation = COCOeval(coco, coco.loadRes(found), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats[0]


def prepare(kernel, parameters, data, threads, way):
    if threads > 1:
        return None
    completions, truths = data["completions"], data["groundTruth"]

    def run():
        with contextlib.redirect_stdout(io.StringIO()):
            return [
                average_precision(completion, truths[i // parameters["groupSize"]])
                for i, completion in enumerate(completions[:COMPLETIONS])
            ]

    return run, lambda figures: figures, COMPLETIONS / len(completions)
