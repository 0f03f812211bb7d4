"""lapx: a loop over lapjv, on one thread."""

import lap
import numpy

VERSIONS = getattr(lap, "__version__", "")


def prepare(kernel, parameters, data, threads, way):
    if threads > 1:
        return None
    problems, rows, columns = parameters["problems"], parameters["rows"], parameters["columns"]
    costs = list(data["costs"].astype(numpy.float64).reshape(problems, rows, columns))
    return lambda: [lap.lapjv(cost, extend_cost=rows != columns) for cost in costs], lambda results: [
        sum(cost[row, column] for row, column in enumerate(column_of_row) if column >= 0)
        for cost, (_, column_of_row, _) in zip(costs, results)
    ]
