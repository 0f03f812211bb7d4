"""torch: torchvision's box_iou and its kin on batches, cdist, and the advantages as TRL and Perception-R1 compute them."""

import sys

import torch

try:
    import torchvision
except RuntimeError:
    # Its C++ operators do not fit this torch. What is measured needs none of them, but the import names them.
    for name in [name for name in sys.modules if name.startswith("torchvision")]:
        del sys.modules[name]
    torch.library.register_fake = lambda *_, **__: lambda function: function
    import torchvision
from torchvision import ops

VERSIONS = f"{torch.__version__}, torchvision {torchvision.__version__}"

FUNCTIONS = {
    "iou": ops.box_iou,
    "giou": ops.generalized_box_iou,
    "diou": ops.distance_box_iou,
    "ciou": ops.complete_box_iou,
}


def iou(parameters, data):
    a, b = (torch.from_numpy(data[name]).reshape(parameters["problems"], -1, 4) for name in "ab")
    if parameters["problems"] == 1:
        a, b = a[0], b[0]
    function = FUNCTIONS[parameters["kind"]]
    return lambda: function(a, b)


def distance(parameters, data):
    a, b = (torch.from_numpy(data[name]).reshape(-1, 2) for name in "ab")
    p = {"l2": 2, "l1": 1}[parameters["metric"]]
    return lambda: torch.cdist(a, b, p, compute_mode="donot_use_mm_for_euclid_dist")


def advantages(parameters, data):
    rewards, size = torch.from_numpy(data["rewards"]), parameters["size"]

    def run():
        groups = rewards.view(-1, size)
        mean = groups.mean(1).repeat_interleave(size)
        std = groups.std(1).repeat_interleave(size)
        return (rewards - mean) / (std + 1e-4)

    return run


def prepare(kernel, parameters, data, threads, way):
    torch.set_num_threads(threads)
    run = {"iou": iou, "distance": distance, "advantages": advantages}[kernel](parameters, data)
    return run, lambda result: result.numpy()
