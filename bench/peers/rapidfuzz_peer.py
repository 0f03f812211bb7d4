"""rapidfuzz: its Levenshtein distance in a loop; with a guess of 32 edits, which it doubles; and cpdist, a loop in C++."""

import rapidfuzz
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cpdist

VERSIONS = rapidfuzz.__version__


def prepare(kernel, parameters, data, threads, way):
    a, b = data["a"], data["b"]
    if way == "cpdist":
        return lambda: cpdist(a, b, scorer=Levenshtein.distance, workers=threads), lambda distances: distances
    if threads > 1:
        return None
    distance = Levenshtein.distance
    if way == "hint":
        return lambda: [distance(x, y, score_hint=32) for x, y in zip(a, b)], lambda distances: distances
    return lambda: [distance(x, y) for x, y in zip(a, b)], lambda distances: distances
