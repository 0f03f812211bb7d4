"""Gradients of sum(weights * pairwise overlap) by torchvision's autograd: JSON cases on stdin, JSON on stdout."""

import json
import sys

import torch
from torchvision import ops

KINDS = {
    "iou": ops.box_iou,
    "giou": ops.generalized_box_iou,
    "diou": ops.distance_box_iou,
    "ciou": ops.complete_box_iou,
}


def gradients(case):
    a = torch.tensor(case["a"], dtype=torch.float64).reshape(-1, 4).requires_grad_()
    b = torch.tensor(case["b"], dtype=torch.float64).reshape(-1, 4).requires_grad_()
    weights = torch.tensor(case["weights"], dtype=torch.float64).reshape(len(a), len(b))
    corners = [ops.box_convert(boxes, case["format"], "xyxy") for boxes in (a, b)]
    (weights * KINDS[case["kind"]](*corners)).sum().backward()
    return [a.grad.flatten().tolist(), b.grad.flatten().tolist()]


json.dump([gradients(case) for case in json.load(sys.stdin)], sys.stdout)
