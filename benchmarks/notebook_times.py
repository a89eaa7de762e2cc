"""What every notebook takes by itself on all cores: one after another with nothing trained before,
and again.

Writes reports/times.yaml, by which the start page in JupyterLab tells how long a notebook takes.
Data sets and weights are fetched before and do not count.

    .venv/bin/python benchmarks/notebook_times.py --profile quick      # 40 minutes on two cores
"""

import argparse
import datetime
import io
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from ruamel.yaml import YAML

from labkit import progress, project
from labkit.lab import times
from labkit.report.execute import Source, execute, failure, find_notebooks, settings
from labkit.report.supply import Supply
from labkit.training.config import resolve_precision


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--profile", choices=project.PROFILES, default="quick")
    parser.add_argument("--machine", required=True, help="as it is to be named: 2 cores, …")
    chosen = parser.parse_args()

    supply = Supply()
    sources = find_notebooks()
    for source in sources:
        values = settings(source, chosen.profile)
        supply.fetch(source.data_sets(values), source.weights(values))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LABKIT_RUNS"] = f"{folder}/runs"
        imports = seconds_of_imports()
        first = {it.name: imports + seconds_of(it, chosen.profile, Path(folder)) for it in sources}
        again = {it.name: imports + seconds_of(it, chosen.profile, Path(folder)) for it in sources}

    path = project.root() / times.FILE
    kept = project.read_yaml(path) if path.exists() else {}
    precision = resolve_precision("auto", torch.device("cpu"))
    kept[precision] = kept.get(precision, {}) | {
        "machine": f"{chosen.machine}, torch {torch.__version__}",
        "date": datetime.date.today().isoformat(),
        "speed": round(times.speed(), 1),
        chosen.profile: {it: [round(first[it], 1), round(again[it], 1)] for it in first},
    }
    buffer = io.BytesIO()
    buffer.write(HEADING.encode())
    yaml = YAML()
    yaml.default_flow_style = None  # a notebook's two numbers on its line
    yaml.dump(kept, buffer)
    project.write_whole(path, buffer.getvalue())
    print(path)


HEADING = """\
# Seconds that each notebook took by itself, on all cores: the first time, in this order, and again.
# With bfloat16 where the processor has it (bf16), and without (fp32).
# `speed`: billions of float32 operations a second in products of matrices (labkit/lab/times.py).
# Written by benchmarks/notebook_times.py.
"""


def seconds_of_imports() -> float:
    """What a kernel of JupyterLab imports in a first cell, and the forked ones below need not."""
    start = time.perf_counter()
    imports = "import labkit.figures, labkit.report.published, labkit.widgets"
    subprocess.run([sys.executable, "-c", imports], check=True)
    return time.perf_counter() - start


def seconds_of(source: Source, profile: str, folder: Path) -> float:
    """Execute the notebook from top to bottom."""
    relay = progress.Relay()
    start = time.perf_counter()
    done = execute(source, settings(source, profile), folder / f"{source.stem}.ipynb", relay)
    seconds = round(time.perf_counter() - start, 1)
    relay.close()
    if problem := failure(done):
        raise SystemExit(f"{source.name}: {problem}")
    print(f"{source.name}: {seconds} s", flush=True)
    return seconds


if __name__ == "__main__":
    main()
