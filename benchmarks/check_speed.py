"""How long a check takes, and how long `import labkit.handcalc`: what a student waits for.

A 3 × 3 kernel on a 16 × 16 image; the answers are right, wrong by one mistake, by two, and by none
that is known, which has to go through the whole catalogue and all its pairs.

    .venv/bin/python benchmarks/check_speed.py
"""

import random
import statistics
import subprocess
import sys
import time

from labkit.handcalc import check, convolve, cross_correlate

ROUNDS = 9
IMPORT = "import time; start = time.perf_counter(); {}; print(1000 * (time.perf_counter() - start))"


def main() -> None:
    rng = random.Random(0)
    image = [[rng.randint(-5, 9) for _ in range(16)] for _ in range(16)]
    kernel = [[1, 2, 0], [-1, 3, 1], [2, -2, 1]]
    settings = {"padding": 1, "stride": 1, "bias": 2}
    task = convolve(image, kernel, **settings)
    answers = {
        "right": task.result,
        "kernel not flipped": cross_correlate(image, kernel, **settings).result,
        "not flipped, no bias": cross_correlate(image, kernel, padding=1).result,
        "no known mistake": [[rng.randint(-60, 60) for _ in range(16)] for _ in range(16)],
    }
    print(f"{'':24} median of {ROUNDS}, ms")
    for statement in ("import labkit.handcalc", "from labkit.handcalc import *"):
        command = [sys.executable, "-c", IMPORT.format(statement)]
        times = [float(subprocess.check_output(command)) for _ in range(ROUNDS)]
        print(f"{statement:32} {statistics.median(times):6.1f}")
    for name, answer in answers.items():
        times = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            # a task of its own each time: a result that is there already would be spared
            verdict = check(answer, convolve(image, kernel, **settings))
            times.append(1000 * (time.perf_counter() - start))
        named = "; ".join(map(str, verdict.explanations[:1])) or verdict.message[:40]
        print(f"{'check: ' + name:32} {statistics.median(times):6.1f}  {named}")


if __name__ == "__main__":
    main()
