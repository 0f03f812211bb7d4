"""scipy: a loop over linear_sum_assignment, which lets other threads run meanwhile, and cdist."""

from concurrent.futures import ThreadPoolExecutor

import numpy
import scipy
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

VERSIONS = scipy.__version__


def assignment(parameters, data, threads):
    problems, rows, columns = parameters["problems"], parameters["rows"], parameters["columns"]
    costs = list(data["costs"].astype(numpy.float64).reshape(problems, rows, columns))
    pool = ThreadPoolExecutor(threads)
    parts = [costs[i * problems // threads : (i + 1) * problems // threads] for i in range(threads)]

    def solve(part):
        return [linear_sum_assignment(cost) for cost in part]

    def run():
        if threads == 1:
            return solve(costs)
        return [pair for part in pool.map(solve, parts) for pair in part]

    return run, lambda pairs: [cost[pair].sum() for cost, pair in zip(costs, pairs)]


def distance(parameters, data, threads):
    if threads > 1:
        return None
    a, b = (data[name].astype(numpy.float64).reshape(-1, 2) for name in "ab")
    metric = {"l2": "euclidean", "l1": "cityblock"}[parameters["metric"]]
    out = numpy.empty((len(a), len(b)))
    return lambda: cdist(a, b, metric, out=out), lambda result: result


def prepare(kernel, parameters, data, threads, way):
    return {"assignment": assignment, "distance": distance}[kernel](parameters, data, threads)
