"""A peer at work: worker.py MODULE [WAY]. Told by lines of JSON what to do, it answers each with one.

The module has VERSIONS, a text, and prepare(kernel, parameters, data, threads, way), which returns None where it does not
do that, or (run, answer) or (run, answer, share): `run` is what is timed, with everything that could be made ready before
it made ready; `answer` turns what it returned into numbers as bench/kernels compares them; `share` is how much of the work
a run does, for peers that would take minutes for all of it. COMPILES tells that the first run takes longer than others.
See Reply of bench/harness/peer-process.ts.
"""

import importlib
import json
import os
import sys
import time

# Standard output is for answers alone, whatever a library prints.
replies = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def reply(**message):
    print(json.dumps(message), file=replies, flush=True)


def milliseconds(run):
    start = time.perf_counter()
    result = run()
    return 1000 * (time.perf_counter() - start), result


def load(folder, threads):
    import numpy

    with open(os.path.join(folder, "manifest.json")) as file:
        manifest = json.load(file)
    data = {}
    for entry in manifest["data"]:
        if entry["dtype"] == "json":
            with open(entry["file"]) as file:
                data[entry["name"]] = json.load(file)
        else:
            data[entry["name"]] = numpy.fromfile(entry["file"], entry["dtype"])
    prepared = module.prepare(manifest["kernel"], manifest["parameters"], data, threads, way)
    if prepared is None:
        reply(able=False)
        return None
    run, answer, share = (*prepared, 1)[:3]
    first, result = milliseconds(run)
    numbers = numpy.asarray(answer(result), numpy.float64).ravel()
    numbers[:: manifest["every"]].tofile(manifest["answer"])
    if first < 1000 or getattr(module, "COMPILES", False):
        first, result = milliseconds(run)
    reply(able=True, answer=manifest["answer"], first=first / share, share=share)
    return run, share


def run_for(work, wanted):
    run, share = work
    times = []
    start = time.perf_counter()
    while not times or 1000 * (time.perf_counter() - start) < wanted:
        times.append(milliseconds(run)[0] / share)
    reply(times=times)


name, way = sys.argv[1:3]
try:
    module = importlib.import_module(name)
except Exception as error:  # not there, or broken
    reply(absent=f"{type(error).__name__}: {error}")
    sys.exit()
reply(versions=module.VERSIONS)
work = None
for line in sys.stdin:
    message = json.loads(line)
    if "load" in message:
        work = None  # its memory first
        try:
            work = load(message["load"], message["threads"])
        except Exception as error:
            reply(absent=f"{type(error).__name__}: {error}")
    else:
        run_for(work, message["run"])
