"""COCO's files to the twelve figures by a peer: coco.py (pycocotools | faster-coco-eval) GROUND_TRUTH RESULTS.

Prints one line of JSON: seconds of loading and of evaluating, the figures and the peak of memory in bytes; or
{"absent": why} where the peer is not installed.
"""

import contextlib
import io
import json
import resource
import sys
import time

name, ground_truth, results = sys.argv[1:]
try:
    if name == "pycocotools":
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval as Evaluation
    else:
        from faster_coco_eval import COCO
        from faster_coco_eval import COCOeval_faster as Evaluation
except ImportError as error:
    print(json.dumps({"absent": f"{error}; pip install {name}"}))
    sys.exit()

with contextlib.redirect_stdout(io.StringIO()):
    start = time.perf_counter()
    truth = COCO(ground_truth)
    found = truth.loadRes(results)
    loaded = time.perf_counter()
    evaluation = Evaluation(truth, found, "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluated = time.perf_counter()
    evaluation.summarize()
print(
    json.dumps(
        {
            "load": loaded - start,
            "evaluate": evaluated - loaded,
            "stats": [float(value) for value in evaluation.stats[:12]],
            "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }
    )
)
