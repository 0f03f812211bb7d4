"""What pycocotools' COCOeval answers -> test/fixtures/coco_pairs.json.gz and coco_cases.json.gz.

coco_pairs: images of COCO with detections (annotations by the COCO Consortium, CC BY 4.0), and the twelve figures. The
first argument is the folder with the COCO files and expected.json; without one only coco_cases is made.
coco_cases: 80 small random sets of images with crowds, ignored objects, equal scores, equal overlaps, inverted detections,
empty lists, and options, with everything that COCOeval computes.
"""

import contextlib
import gzip
import importlib.metadata
import io
import json
import pathlib
import random
import sys

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

FIXTURES = pathlib.Path(__file__).parent.parent / "test/fixtures"


class Evaluation(COCOeval):
    """COCOeval, but an object's own `ignore` is not overwritten with its `iscrowd`."""

    def _prepare(self):
        super()._prepare()
        for objects in self._gts.values():
            for item in objects:
                item["ignore"] = bool(item["iscrowd"] or item["own_ignore"])


def evaluate(case):
    images = len(case["truth"])
    truth, found = COCO(), COCO()
    header = {
        "images": [{"id": i} for i in range(images)],
        "categories": [{"id": k} for k in case["categories"]],
    }
    annotations, results = [], []
    for i, (objects, detections) in enumerate(zip(case["truth"], case["detections"])):
        for place, box in enumerate(objects["boxes"]):
            annotations.append({
                "id": len(annotations) + 1, "place": place, "image_id": i, "bbox": box,
                "category_id": objects["labels"][place], "area": objects["areas"][place],
                "iscrowd": objects["crowd"][place], "own_ignore": objects["ignore"][place],
            })
        for place, box in enumerate(detections["boxes"]):
            results.append({
                "id": len(results) + 1, "image_id": i, "bbox": box, "area": box[2] * box[3],
                "category_id": detections["labels"][place], "score": detections["scores"][place], "iscrowd": 0,
            })
    truth.dataset = {**header, "annotations": annotations}
    found.dataset = {**header, "annotations": results}
    truth.createIndex()
    found.createIndex()

    evaluation = Evaluation(truth, found, "bbox")
    params = evaluation.params
    options = case["options"]
    if "iouThresholds" in options:
        params.iouThrs = np.array(options["iouThresholds"])
    if "areaRanges" in options:
        params.areaRng = list(options["areaRanges"].values())
        params.areaRngLbl = list(options["areaRanges"])
    if "maxDetections" in options:
        params.maxDets = options["maxDetections"]
    params.useCats = int(options.get("useCategories", True))
    evaluation.evaluate()
    evaluation.accumulate()

    thresholds, areas = len(params.iouThrs), len(params.areaRng)
    matches = -2 * np.ones((areas, thresholds, len(results)), dtype=int)
    ignored = np.zeros((areas, thresholds, len(results)), dtype=int)
    ignored_truth = np.zeros((areas, len(annotations)), dtype=int)
    places = {0: -1} | {item["id"]: item["place"] for item in annotations}
    for image in filter(None, evaluation.evalImgs):
        a = [tuple(r) for r in params.areaRng].index(tuple(image["aRng"]))
        for column, detection in enumerate(image["dtIds"]):
            for t in range(thresholds):
                matches[a, t, detection - 1] = places[int(image["dtMatches"][t, column])]
                ignored[a, t, detection - 1] = image["dtIgnore"][t, column]
        for item, flag in zip(image["gtIds"], image["gtIgnore"]):
            ignored_truth[a, item - 1] = flag

    answer = evaluation.eval
    expected = {
        # Recalls innermost: long runs of equal numbers, which compress well.
        "precision": answer["precision"].transpose(0, 2, 3, 4, 1).ravel().tolist(),
        "scores": answer["scores"].transpose(0, 2, 3, 4, 1).ravel().tolist(),
        "recall": answer["recall"].ravel().tolist(),
        "matches": matches.ravel().tolist(),
        "ignored": ignored.ravel().tolist(),
        "ignoredTruth": ignored_truth.ravel().tolist(),
    }
    if not options.keys() & {"iouThresholds", "areaRanges", "maxDetections"}:
        evaluation.summarize()
        expected["stats"] = evaluation.stats.tolist()
    return expected


def make_case(index):
    rng = random.Random(index)
    categories = list(range(1, rng.randint(1, 3) + 1))
    truth, detections = [], []

    def label():
        return rng.choice(categories)

    # Whole numbers on a small grid, so that overlaps tie; some beyond the smallest area range.
    unit = rng.choice([1, 4, 15])

    def box():
        return [float(unit * rng.randint(0, 8)), float(unit * rng.randint(0, 8)),
                float(unit * rng.randint(0, 9)), float(unit * rng.randint(0, 9))]

    for _ in range(rng.randint(0 if index % 10 == 0 else 1, 6)):
        count = rng.choice([0, 1, 2, 5, 8])
        boxes = [box() for _ in range(count)]
        truth.append({
            "boxes": boxes,
            "labels": [label() for _ in boxes],
            "areas": [b[2] * b[3] * rng.choice([1, 1, 0.6]) for b in boxes],
            "crowd": [int(rng.random() < 0.15) for _ in boxes],
            "ignore": [int(index % 2 == 1 and rng.random() < 0.15) for _ in boxes],
        })
        found, labels, scores = [], [], []
        for _ in range(rng.choice([0, 1, 4, 12, 15])):
            if boxes and rng.random() < 0.7:
                near = rng.randrange(count)
                found.append([value + rng.choice([0, 0, 0, unit, -unit, 0.25]) for value in boxes[near]])
                labels.append(truth[-1]["labels"][near] if rng.random() < 0.8 else label())
            else:
                found.append(box())
                labels.append(label())
            scores.append(round(rng.random(), 1) if index % 5 else 1.0)
        detections.append({"boxes": found, "labels": labels, "scores": scores})
    options = {}
    if index % 4 != 0:
        options["iouThresholds"] = sorted(rng.sample([0.1, 0.3, 0.5, 0.55, 0.7, 0.75, 0.9, 1.0], rng.randint(1, 4)))
        options["maxDetections"] = rng.choice([[1, 2, 100], [1, 10, 100], [1, 3, 5]])
    if index % 4 == 2:
        options["areaRanges"] = rng.choice([
            {"all": [0, 1e10]}, {"tiny": [0, 16], "all": [0, 1e10]}, {"middle": [36, 400], "all": [0, 1e10], "large": [400, 1e10]},
        ])
    if index % 8 in (3, 4):
        options["useCategories"] = False
    return {"categories": categories, "truth": truth, "detections": detections, "options": options}


def write(name, content):
    packed = gzip.compress(json.dumps(content, separators=(",", ":")).encode(), mtime=0)
    (FIXTURES / f"{name}.json.gz").write_bytes(packed)
    print(f"{name}.json.gz: {len(packed)} bytes", file=sys.stderr)


def pairs(folder):
    def load(name):
        return json.loads((folder / name).read_text())

    expected = load("expected.json")
    truths = {}
    for name in sorted({pair["gt"] for pair in expected["pairs"]}):
        data = load(name)
        truths[name] = {
            "images": sorted(image["id"] for image in data["images"]),
            "annotations": [[a["image_id"], a["category_id"], *a["bbox"], a["area"], a["iscrowd"]] for a in data["annotations"]],
        }
    return {
        "source": "COCO Consortium, CC BY 4.0; " + expected["source"],
        "annotations": "image, category, x, y, width, height, area, iscrowd",
        "detections": "image, category, x, y, width, height, score",
        "truths": truths,
        "pairs": [
            {**pair, "detections": [[d["image_id"], d["category_id"], *d["bbox"], d["score"]] for d in load(pair["dt"])]}
            for pair in expected["pairs"]
        ],
    }


if len(sys.argv) > 1:
    write("coco_pairs", pairs(pathlib.Path(sys.argv[1])))
with contextlib.redirect_stdout(io.StringIO()):  # COCOeval reports what it does
    cases = [make_case(index) for index in range(80)]
    version = importlib.metadata.version("pycocotools")
    write("coco_cases", {"source": f"pycocotools {version}", "cases": [{**case, "expected": evaluate(case)} for case in cases]})
