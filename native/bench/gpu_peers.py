"""What else computes the cases of gpu_bench on this GPU, and how long it takes.

Writes lines of case, peer, median milliseconds (or -) and a note, with tabs between them. Every peer's answer is
compared with NumPy's or SciPy's before it is timed; one that differs has no figure. They run in several processes with
a limit of time each, so that none can hold up or break the others; a module that is missing is said and left out.

    python3 native/bench/gpu_peers.py --out peers.tsv
    python3 native/bench/gpu_peers.py --device cpu --small    # to test this script: the figures mean nothing
"""

import argparse
import importlib
import importlib.util
import os
import subprocess
import sys
import time

SEED = 20251122
TOLERANCE = 1e-4  # of peers that compute in float32, in whatever order
PROCESS_LIMIT_S = 60


class Missing(Exception):
    """A module that this peer needs is not there."""


class Wrong(Exception):
    """The peer's answer is not the reference's."""


def module(name):
    if importlib.util.find_spec(name.split(".")[0]) is None:
        raise Missing(f"{name.split('.')[0]} is not installed")
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise Missing(f"{name} cannot be imported: {error}") from error


def same(received, expected, what):
    np = module("numpy")
    received, expected = np.asarray(received, np.float64), np.asarray(expected, np.float64)
    if received.shape != expected.shape or not np.allclose(received, expected, rtol=TOLERANCE, atol=TOLERANCE):
        raise Wrong(f"{what} differ from the reference")


# ---- what runs and for how long


class Bench:
    """The sizes, the device, the clock, and where the figures go."""

    def __init__(self, device, small, out):
        self.device, self.small, self.out = device, small, out

    def size(self, full, small):
        return small if self.small else full

    def report(self, case, peer, median_ms, note=""):
        value = "-" if median_ms is None else f"{median_ms:.6g}"
        line = "\t".join(" ".join(str(field).split()) for field in (case, peer, value, note))
        print(line, file=self.out, flush=True)

    def median_ms(self, body, wait, start=None, stop=None):
        """Median of one call at a time on an idle device; start() and stop() give their milliseconds, else the host's."""
        limit, times = 0.3, []
        body()
        wait()
        begin = time.perf_counter()

        def goes_on():
            passed = time.perf_counter() - begin
            return len(times) < 2 or (len(times) < 5 and passed < 5) or (len(times) < 100 and passed < limit)

        while goes_on():
            if start:
                start()
                body()
                times.append(stop())
            else:
                before = time.perf_counter()
                body()
                wait()
                times.append((time.perf_counter() - before) * 1e3)
        return sorted(times)[len(times) // 2]

    def torch_ms(self, body):
        torch = module("torch")
        if self.device == "cpu":
            return self.median_ms(body, lambda: None)
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)

        def stop():
            end.record()
            end.synchronize()
            return begin.elapsed_time(end)

        return self.median_ms(body, torch.cuda.synchronize, begin.record, stop)


def torch_for(bench):
    torch = module("torch")
    if bench.device == "cuda" and not torch.cuda.is_available():
        raise Missing("this torch sees no GPU")
    return torch


# ---- data, as gpu_bench makes it


def random_boxes(np, random, *shape):
    corner = random.uniform(0, 700, (*shape, 2))
    return np.concatenate([corner, corner + random.uniform(20, 300, (*shape, 2))], -1).astype(np.float32)


def area(box):
    """Of boxes of NumPy or torch, over any leading dimensions."""
    return (box[..., 2] - box[..., 0]) * (box[..., 3] - box[..., 1])


def reference_iou(np, a, b):
    a, b = a[..., :, None, :].astype(np.float64), b[..., None, :, :].astype(np.float64)
    sides = np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0)
    inter = sides[..., 0] * sides[..., 1]
    return inter / (area(a) + area(b) - inter)


def costs_of(np, kind, problems, rows, cols):
    random = np.random.default_rng(SEED)
    if kind == "uniform":
        return random.random((problems, rows, cols), np.float32)
    costs = np.empty((problems, rows, cols), np.float32)
    for start in range(0, problems, 64):
        part = costs[start : start + 64]
        part[:] = 1 - reference_iou(
            np, random_boxes(np, random, len(part), rows), random_boxes(np, random, len(part), cols)
        )
    return costs


def assignment_sizes(bench):
    return [
        (bench.size(4096, 6), 10, 10),
        (bench.size(4096, 6), 20, 13),
        (bench.size(1024, 2), bench.size(100, 12), bench.size(100, 12)),
        (bench.size(64, 1), bench.size(300, 15), bench.size(300, 15)),
        (1, bench.size(1000, 20), bench.size(1000, 20)),
    ]


def assignment_case(kind, problems, rows, cols):
    return f"assignment {problems}x{rows}x{cols}, {'IoU' if kind == 'iou' else 'uniform'} costs"


# ---- overlaps


def iou_sizes(bench):
    wide = bench.size(16384, 64)
    return [
        (f"IoU {wide}x{wide}", (), wide, wide),
        (f"IoU {bench.size(4096, 8)}x10x10", (bench.size(4096, 8),), 10, 10),
        (
            f"IoU {bench.size(1024, 4)}x{bench.size(100, 9)}x{bench.size(100, 9)}",
            (bench.size(1024, 4),),
            bench.size(100, 9),
            bench.size(100, 9),
        ),
    ]


def box_iou_formula(torch):
    """torchvision.ops.box_iou's formula, over any leading dimensions."""

    def box_iou(a, b):
        top_left = torch.max(a[..., :, None, :2], b[..., None, :, :2])
        bottom_right = torch.min(a[..., :, None, 2:], b[..., None, :, 2:])
        sides = (bottom_right - top_left).clamp(min=0)
        inter = sides[..., 0] * sides[..., 1]
        return inter / (area(a)[..., :, None] + area(b)[..., None, :] - inter)

    return box_iou


def measure_iou(bench, peer, function_for, batched=True):
    """`function_for(torch)` gives the peer's function; without `batched` it takes single matrices only."""
    torch, np = torch_for(bench), module("numpy")
    function = function_for(torch)
    for case, batch, n, m in iou_sizes(bench):
        if batch and not batched:
            continue
        random = np.random.default_rng(SEED)
        a, b = random_boxes(np, random, *batch, n), random_boxes(np, random, *batch, m)
        device_a, device_b = (torch.from_numpy(boxes).to(bench.device) for boxes in (a, b))
        # Whole, or by rows where the intermediate results do not fit.
        for chunks in (1, 4, 16):
            if n < chunks or (batch and chunks > 1):
                break
            parts = device_a.chunk(chunks, -2)
            out = torch.empty((*batch, n, m), device=bench.device) if chunks > 1 else None

            def run():
                if out is None:
                    return function(device_a, device_b)
                row = 0
                for part in parts:
                    out[row : row + len(part)] = function(part, device_b)
                    row += len(part)
                return out

            try:
                result = run()
                rows = slice(None) if batch else random.integers(0, n, min(n, 64))
                if batch:
                    same(result[:8].cpu().numpy(), reference_iou(np, a[:8], b[:8]), "overlaps")
                else:
                    same(result[rows].cpu().numpy(), reference_iou(np, a[rows], b), "overlaps")
                del result
                bench.report(case, peer, bench.torch_ms(run), f"in {chunks} chunks" if chunks > 1 else "")
                break
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
        else:
            bench.report(case, peer, None, "not enough memory")


def compiled(torch, function):
    return torch.compile(function, dynamic=False)


def torch_eager_iou(bench):
    measure_iou(bench, "torch eager, torchvision's formula", box_iou_formula)


def torch_compile_iou(bench):
    measure_iou(bench, "torch.compile, torchvision's formula", lambda torch: compiled(torch, box_iou_formula(torch)))


def torchvision_iou(bench):
    ops = module("torchvision.ops")
    torch = torch_for(bench)
    try:
        batch = torch.tensor([[[0.0, 0, 1, 1]]])
        batched = tuple(ops.box_iou(batch, batch).shape) == (1, 1, 1)
    except Exception:
        batched = False
    measure_iou(bench, "torchvision.ops.box_iou", lambda _: ops.box_iou, batched)


# ---- advantages


def measure_advantages(bench, peer, wrap):
    torch, np = torch_for(bench), module("numpy")
    rewards = bench.size(1 << 24, 1 << 10)

    def advantages(values):
        return (values - values.mean(1, keepdim=True)) / (values.std(1, keepdim=True) + 1e-4)

    for group in (8, 16, 64):
        function = wrap(torch, advantages)
        host = np.random.default_rng(SEED).uniform(0, 3, (rewards // group, group)).astype(np.float32)
        device = torch.from_numpy(host).to(bench.device)
        wide = host[:4096].astype(np.float64)
        expected = (wide - wide.mean(1, keepdims=True)) / (wide.std(1, ddof=1, keepdims=True) + 1e-4)
        same(function(device)[:4096].cpu().numpy(), expected, "advantages")
        bench.report(f"advantages {rewards // group}x{group}", peer, bench.torch_ms(lambda: function(device)))


def torch_eager_advantages(bench):
    measure_advantages(bench, "torch eager", lambda torch, function: function)


def torch_compile_advantages(bench):
    measure_advantages(bench, "torch.compile", compiled)


# ---- assignment


def scipy_assignment(bench):
    """Costs are on the GPU, and the answer goes back there: the transfers belong to the peer."""
    torch, np = torch_for(bench), module("numpy")
    solve = module("scipy.optimize").linear_sum_assignment
    from concurrent.futures import ThreadPoolExecutor

    workers = len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(workers) as pool:
        for problems, rows, cols in assignment_sizes(bench):
            for kind in ("iou", "uniform"):
                costs = torch.from_numpy(costs_of(np, kind, problems, rows, cols)).to(bench.device)
                case = assignment_case(kind, problems, rows, cols)

                def part(matrices):
                    answer = np.full((len(matrices), rows), -1, np.int32)
                    for i, matrix in enumerate(matrices):
                        row, column = solve(matrix)
                        answer[i, row] = column
                    return answer

                def serial():
                    return torch.from_numpy(part(costs.cpu().numpy())).to(bench.device)

                def threaded():
                    chunks = np.array_split(costs.cpu().numpy(), min(problems, 4 * workers))
                    return torch.from_numpy(np.concatenate(list(pool.map(part, chunks)))).to(bench.device)

                bench.report(case, "SciPy on the host, with transfers", bench.torch_ms(serial))
                if problems > 1 and workers > 1:
                    same(threaded().cpu(), serial().cpu(), "assignments")
                    bench.report(case, f"SciPy, {workers} threads, with transfers", bench.torch_ms(threaded))


def optax_assignment(index):
    def run(bench):
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        if bench.device == "cpu":
            os.environ["JAX_PLATFORMS"] = "cpu"
        jax, np = module("jax"), module("numpy")
        hungarian = module("optax").assignment.hungarian_algorithm
        if bench.device == "cuda" and jax.default_backend() != "gpu":
            raise Missing("this jax sees no GPU")
        problems, rows, cols = assignment_sizes(bench)[index]
        function = jax.jit(jax.vmap(hungarian))
        for kind in ("iou", "uniform"):
            host = costs_of(np, kind, problems, rows, cols)
            costs = jax.device_put(host)
            i, j = (np.asarray(part) for part in function(costs))
            solve = module("scipy.optimize").linear_sum_assignment
            for problem in range(min(problems, 16)):
                row, column = solve(host[problem])
                total = host[problem][i[problem], j[problem]].sum(dtype=np.float64)
                same(total, host[problem][row, column].sum(dtype=np.float64), "totals")
            bench.report(
                assignment_case(kind, problems, rows, cols),
                "optax.assignment.hungarian_algorithm, jit of vmap",
                bench.median_ms(lambda: jax.block_until_ready(function(costs)), lambda: None),
            )

    return run


# ---- rewards


def usual_detection_reward(bench):
    """As public trainers write it: for each completion costs on the GPU, SciPy on the host, then the terms."""
    torch, np = torch_for(bench), module("numpy")
    solve = module("scipy.optimize").linear_sum_assignment
    completions, objects, timed = bench.size(8192, 16), bench.size(32, 5), bench.size(256, 4)
    random = np.random.default_rng(SEED)
    truth = random_boxes(np, random, timed // 4 or 1, objects)
    predictions = truth.repeat(4, 0)[:timed] + random.uniform(-9, 9, (timed, objects, 4)).astype(np.float32)
    labels = random.integers(0, 80, (timed, objects))
    one_hot = torch.zeros(timed, objects, 90)
    one_hot.scatter_(2, torch.from_numpy(labels)[..., None], 1.0)
    device_truth = torch.from_numpy(truth.repeat(4, 0)[:timed]).to(bench.device)
    device_predictions, one_hot = torch.from_numpy(predictions).to(bench.device), one_hot.to(bench.device)
    device_labels = torch.from_numpy(labels).to(bench.device)
    iou = box_iou_formula(torch)

    def giou(a, b):
        hull = torch.max(a[:, None, 2:], b[None, :, 2:]) - torch.min(a[:, None, :2], b[None, :, :2])
        hull = hull[..., 0] * hull[..., 1]
        overlap = iou(a, b)
        union = (area(a)[:, None] + area(b)[None]) / (1 + overlap)
        return overlap - (hull - union) / hull

    def centred(box):
        return torch.cat([(box[:, :2] + box[:, 2:]) / 2, box[:, 2:] - box[:, :2]], 1)

    def reward(index):
        predicted, true, classes = device_predictions[index], device_truth[index], device_labels[index]
        cost = (
            5 * torch.cdist(centred(predicted), centred(true), p=1)
            - 2 * giou(predicted, true)
            - one_hot[index].softmax(-1)[:, classes]
        )
        row, column = solve(cost.cpu().numpy())
        overlaps = iou(predicted, true).cpu().numpy()[row, column]
        matched = overlaps > 0.5
        share = matched.sum() / objects
        right = (labels[index][row] == labels[index][column])[matched]
        mean_iou, mean_class = (overlaps[matched].mean(), right.mean()) if matched.any() else (0.0, 0.0)
        return min(max(0.25 + 0.75 * share + mean_class + mean_iou - 0.5 * 2 * (1 - share), 0), 3)

    # The formula once more, in NumPy and by hand, for some of them.
    for index in range(min(timed, 4)):
        predicted, true = predictions[index].astype(np.float64), truth[index // 4].astype(np.float64)
        overlap = reference_iou(np, predicted, true)
        low = np.minimum(predicted[:, None, :2], true[None, :, :2])
        high = np.maximum(predicted[:, None, 2:], true[None, :, 2:])
        hull = (high - low).prod(-1)
        union = (area(predicted)[:, None] + area(true)[None]) / (1 + overlap)
        middle = [
            np.concatenate([(box[:, :2] + box[:, 2:]) / 2, box[:, 2:] - box[:, :2]], 1) for box in (predicted, true)
        ]
        distance = np.abs(middle[0][:, None] - middle[1][None]).sum(-1)
        likely = np.full((objects, 90), 1 / (np.e + 89))
        likely[np.arange(objects), labels[index]] = np.e / (np.e + 89)
        cost = 5 * distance - 2 * (overlap - (hull - union) / hull) - likely[:, labels[index]]
        row, column = solve(cost)
        kept = overlap[row, column] > 0.5
        share = kept.mean()
        expected = 0.25 + 0.75 * share - (1 - share)
        if kept.any():
            expected += (labels[index][row] == labels[index][column])[kept].mean() + overlap[row, column][kept].mean()
        same(reward(index), min(max(expected, 0), 3), "rewards")

    measured = bench.torch_ms(lambda: [reward(index) for index in range(timed)])
    bench.report(
        f"detection reward {completions}x{objects}x{objects}",
        "torch costs on the GPU, SciPy, terms, one completion at a time",
        measured * completions / timed,
        f"scaled up from {timed} completions",
    )


# ---- edit distance


def rapidfuzz_distance(bench):
    """On the host: there is no library for GPUs to compare with. One thread for each processor."""
    levenshtein = module("rapidfuzz.distance").Levenshtein
    process, np = module("rapidfuzz.process"), module("numpy")
    random = np.random.default_rng(SEED)
    for pairs, length in ((bench.size(64, 3), bench.size(3000, 150)), (bench.size(4096, 20), bench.size(200, 40))):
        pages, edited = [], []
        for _ in range(pairs):
            page = "".join(map(chr, 32 + random.integers(0, 64, length)))
            edits = random.integers(0, 30, length)
            edited.append(
                "".join({0: "~", 1: "", 2: symbol + "~"}.get(int(edit), symbol) for symbol, edit in zip(page, edits))
            )
            pages.append(page)
        for page, other in list(zip(pages, edited))[: 3 if length <= 300 else 1]:
            same(levenshtein.distance(page, other), plain_distance(page, other), "distances")
        bench.report(
            f"edit distance {pairs} pairs of {length}",
            "rapidfuzz cpdist on the host",
            bench.median_ms(
                lambda: process.cpdist(pages, edited, scorer=levenshtein.distance, workers=-1), lambda: None
            ),
        )


def plain_distance(a, b):
    row = list(range(len(b) + 1))
    for i, symbol in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (symbol != other))
    return row[-1]


# ---- processes


# What shares a process, in the order in which they run while there is time: the quick and important ones first.
GROUPS = {
    "torch": {
        "torch eager, overlaps": torch_eager_iou,
        "torch eager, advantages": torch_eager_advantages,
        "torchvision": torchvision_iou,
        "torch, detection reward": usual_detection_reward,
    },
    "SciPy": {"SciPy": scipy_assignment},
    "rapidfuzz": {"rapidfuzz": rapidfuzz_distance},
    "torch.compile": {
        "torch.compile, overlaps": torch_compile_iou,
        "torch.compile, advantages": torch_compile_advantages,
    },
    **{f"optax, assignment {size + 1} of 5": {"optax": optax_assignment(size)} for size in range(5)},
}


def run_group(name, bench):
    # Compilers in this process: a pool of them outlives it.
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    for label, peer in GROUPS[name].items():
        try:
            peer(bench)
        except (Missing, Wrong) as error:
            bench.report("", label, None, error)
        except Exception as error:
            bench.report("", label, None, f"failed: {type(error).__name__}: {str(error)[:300]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", help="the file to write (the terminal)")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: to test this script")
    parser.add_argument("--small", action="store_true", help="small sizes, to test this script")
    parser.add_argument("--seconds", type=float, default=600, help="what has not begun by then is left out (600)")
    parser.add_argument("--only", choices=GROUPS, metavar="GROUP", help="one process's: " + "; ".join(GROUPS))
    arguments = parser.parse_args()
    out = open(arguments.out, "a", encoding="utf-8") if arguments.out else sys.stdout
    bench = Bench(arguments.device, arguments.small, out)
    if arguments.only:
        run_group(arguments.only, bench)
        return
    begin = time.monotonic()
    for name in GROUPS:
        left = arguments.seconds - (time.monotonic() - begin)
        if left < 5:
            bench.report("", name, None, f"not begun: {arguments.seconds:.0f} s were over")
            continue
        command = [sys.executable, __file__, "--only", name, "--device", arguments.device]
        command += ["--small"] * arguments.small + (["--out", arguments.out] if arguments.out else [])
        limit = min(PROCESS_LIMIT_S, left)
        try:
            code = subprocess.run(command, timeout=limit, check=False).returncode
            if code != 0:
                bench.report("", name, None, f"its process ended with code {code}")
        except subprocess.TimeoutExpired:
            bench.report("", name, None, f"stopped after {limit:.0f} s")


if __name__ == "__main__":
    main()
