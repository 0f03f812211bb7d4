"""numba: each operation as one compiled loop without temporary arrays, into memory that is there already."""

import functools
import math

import numba
import numpy
from numba import njit, prange

VERSIONS = numba.__version__
COMPILES = True

compiled = njit(parallel=True, fastmath=True, error_model="numpy", cache=False)
inlined = njit(inline="always", fastmath=True, error_model="numpy")


@inlined
def clipped(value):
    return max(value, numpy.float32(0))


@inlined
def one_pair(kind, ax1, ay1, ax2, ay2, a_area, a_angle, bx1, by1, bx2, by2, b_area, b_angle):
    common = clipped(min(ax2, bx2) - max(ax1, bx1)) * clipped(min(ay2, by2) - max(ay1, by1))
    union = a_area + b_area - common
    overlap = common / union
    if kind == 0:
        return overlap
    width, height = max(ax2, bx2) - min(ax1, bx1), max(ay2, by2) - min(ay1, by1)
    if kind == 1:
        hull = width * height
        return overlap - (hull - union) / hull
    dx, dy = ax1 + ax2 - bx1 - bx2, ay1 + ay2 - by1 - by2
    distance = overlap - numpy.float32(0.25) * (dx * dx + dy * dy) / (width * width + height * height)
    if kind == 2:
        return distance
    v = numpy.float32(4 / math.pi**2) * (b_angle - a_angle) ** 2
    return distance - v * v / (1 - overlap + v + numpy.float32(1e-12))


@functools.cache
def iou_of(kind):
    # Boxes come as x1, y1, x2, y2, area and angle, each in a row of its own; a task is one row of the result.
    @compiled
    def fill(a, b, out):
        problems, rows, columns = out.shape
        for task in prange(problems * rows):
            problem, i = task // rows, task % rows
            p, q, line = a[problem], b[problem], out[problem, i]
            ax1, ay1, ax2, ay2, a_area, a_angle = p[0, i], p[1, i], p[2, i], p[3, i], p[4, i], p[5, i]
            bx1, by1, bx2, by2, b_area, b_angle = q[0], q[1], q[2], q[3], q[4], q[5]
            for j in range(columns):
                line[j] = one_pair(
                    kind, ax1, ay1, ax2, ay2, a_area, a_angle, bx1[j], by1[j], bx2[j], by2[j], b_area[j], b_angle[j]
                )

    return fill


@functools.cache
def turned_of(with_angles):
    @compiled
    def turned(boxes, out):
        for problem in prange(len(boxes)):
            for i in range(boxes.shape[1]):
                x1, y1, x2, y2 = boxes[problem, i]
                width, height = x2 - x1, y2 - y1
                out[problem, :4, i] = boxes[problem, i]
                out[problem, 4, i] = width * height
                if with_angles:
                    out[problem, 5, i] = math.atan(width / height)

    return turned


def iou(parameters, data):
    problems, size, kind = parameters["problems"], parameters["size"], parameters["kind"]
    a, b = (data[name].reshape(problems, size, 4) for name in "ab")
    wide_a, wide_b = (numpy.zeros((problems, 6, size), numpy.float32) for _ in "ab")
    out = numpy.empty((problems, size, size), numpy.float32)
    turned, fill = turned_of(kind == "ciou"), iou_of(["iou", "giou", "diou", "ciou"].index(kind))

    def run():
        turned(a, wide_a)
        turned(b, wide_b)
        fill(wide_a, wide_b, out)
        return out

    return run


@functools.cache
def distance_of(metric):
    euclidean = metric == "l2"

    @compiled
    def fill(a, x, y, out):
        for i in prange(len(a)):
            ax, ay = a[i]
            for j in range(len(x)):
                dx, dy = ax - x[j], ay - y[j]
                out[i, j] = math.sqrt(dx * dx + dy * dy) if euclidean else abs(dx) + abs(dy)

    return fill


def distance(parameters, data):
    fill = distance_of(parameters["metric"])
    a, b = (data[name].reshape(-1, 2) for name in "ab")
    out = numpy.empty((len(a), len(b)), numpy.float32)

    def run():
        x, y = b.T.copy()
        fill(a, x, y, out)
        return out

    return run


@compiled
def group_advantages(rewards, out):
    groups, size = rewards.shape
    for g in prange(groups):
        mean = rewards[g].sum() / numpy.float32(size)
        squares = numpy.float32(0)
        for i in range(size):
            squares += (rewards[g, i] - mean) ** 2
        divisor = math.sqrt(squares / numpy.float32(size - 1)) + numpy.float32(1e-4)
        for i in range(size):
            out[g, i] = (rewards[g, i] - mean) / divisor


def advantages(parameters, data):
    rewards = data["rewards"].reshape(-1, parameters["size"])
    out = numpy.empty_like(rewards)

    def run():
        group_advantages(rewards, out)
        return out

    return run


def prepare(kernel, parameters, data, threads, way):
    numba.set_num_threads(threads)
    run = {"iou": iou, "distance": distance, "advantages": advantages}[kernel](parameters, data)
    return run, lambda result: result
