"""What scipy's linear_sum_assignment answers for 2,000 seeded problems -> test/fixtures/scipy_assignment.json.gz.

The problems themselves are not stored: test/reference/assignment.ts makes the same ones from the same generator.
"""

import gzip
import json
import pathlib

import numpy as np
import scipy
from scipy.optimize import linear_sum_assignment


class Generator:
    """Numerical Recipes' 32-bit linear congruential generator."""

    def __init__(self, seed: int):
        self.state = seed

    def next(self) -> float:
        self.state = (1664525 * self.state + 1013904223) % 2**32
        return self.state / 2**32


def problem(index: int):
    random = Generator(index)
    rows, cols = int(random.next() * 25), int(random.next() * 25)
    kind = index % 5
    values = [random.next() for _ in range(rows * cols)]
    if kind == 1:  # many ties
        values = [float(int(value * 6)) for value in values]
    if kind == 2:  # both signs
        values = [value * 2 - 1 for value in values]
    maximize = kind == 3
    if kind == 4:  # forbidden pairs
        values = [float("inf") if value < 0.82 else value for value in values]
    cost = np.array(values, dtype=np.float64).reshape(rows, cols)
    if index % 2:
        cost = cost.astype(np.float32)
    return cost, maximize


def answer(index: int):
    cost, maximize = problem(index)
    try:
        row, column = linear_sum_assignment(cost, maximize=maximize)
    except ValueError as error:
        assert str(error) == "cost matrix is infeasible", error
        return None
    return [float(cost[row, column].astype(np.float64).sum()), row.tolist(), column.tolist()]


answers = {"scipy": scipy.__version__, "answers": [answer(index) for index in range(2000)]}
path = pathlib.Path(__file__).parent.parent / "test/fixtures/scipy_assignment.json.gz"
path.write_bytes(gzip.compress(json.dumps(answers, separators=(",", ":")).encode(), mtime=0))
print(f"{path.name}: {sum(a is None for a in answers['answers'])} of 2000 infeasible, scipy {scipy.__version__}")
