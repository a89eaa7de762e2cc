"""Many runs at once: named Configs × seeds → finished runs, each trained once."""

import contextlib
import itertools
import math
import re
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from labkit import progress, project
from labkit.errors import LabkitError, Told
from labkit.training import cluster, store
from labkit.training.config import RunConfig, grid
from labkit.training.live import LiveSweep
from labkit.training.store import Run
from labkit.training.strict import ConfigError
from labkit.training.wanted import Wanted

# behind the point, in tables; all others have three
DIGITS = {"best_epoch": 1, "training_seconds": 0, "trained_parameters": 0}

ERROR_RATE = r"(cer|wer)(_at_\d+)?"  # how the names of such metrics end


@dataclass(frozen=True)
class Difference:
    """A difference of two means, and half the width of its 95 % interval, in the metric's unit.

    `mean` is the difference over the pairs of `seeds` (so many), `margin` half of the interval. The
    margin is infinite where nothing tells it: of a metric that is no share of the examples, for one
    seed, or seeds that all differ alike. As text in points of 0.01, for accuracies and error rates:
    `−9.9 ± 4.4`.
    """

    mean: float
    margin: float
    seeds: int

    @property
    def sign(self) -> int:
        """1 higher, −1 lower, 0 not told apart (nor is what diverged: nan)."""
        return 0 if not abs(self.mean) > self.margin else 1 if self.mean > 0 else -1

    def __str__(self) -> str:
        return f"{100 * self.mean:+.1f} ± {100 * self.margin:.1f}".replace("-", "−")


class UnknownError(Told, KeyError):
    """A name or a metric that there is none of; says which there are."""

    __str__ = Exception.__str__  # KeyError's would put the sentence in quotes


class Runs(Mapping[str, list[Run]]):
    """Finished runs by the name of their Config: `runs["Adam"]` is a list, one run per seed.

    `sweep` makes it; by hand it is `Runs({"Adam": [run, …]})`. It can be gone through as a
    dictionary, and `runs | others` has the names of both.

        runs.table({"test accuracy": "test_accuracy"})  # a row per name, mean ± standard deviation
        runs["Adam"][0].history  # the curves of its first seed
    """

    def __init__(self, runs: Mapping[str, Sequence[Run]]):
        self._runs = {name: list(group) for name, group in runs.items() if group}

    def __getitem__(self, name: str) -> list[Run]:
        if name not in self._runs:
            raise UnknownError(f"{name!r}; there are {', '.join(map(repr, self._runs)) or 'none'}")
        return self._runs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._runs)

    def __len__(self) -> int:
        return len(self._runs)

    def __repr__(self) -> str:
        return f"Runs({', '.join(f'{name}: {len(group)}' for name, group in self.items())})"

    def select(self, *names: str) -> "Runs":
        """The runs of these names alone."""
        return Runs({name: self[name] for name in names})

    def renamed(self, names: Mapping[str, str]) -> "Runs":
        """The runs whose names are keys of `names`, under the new ones."""
        return Runs({new: self[old] for old, new in names.items()})

    def __or__(self, other: "Runs") -> "Runs":
        return Runs({**self._runs, **other._runs})

    def values_of(self, name: str, metric: str) -> list[float]:
        """The values of `metric` of the runs called `name`, one per seed.

        Raises KeyError for a name or a metric that there is none of.
        """
        for run in self[name]:
            if metric not in run.metrics:
                raise UnknownError(f"{metric!r}; a run has {', '.join(run.metrics)}")
        return [run.metrics[metric] for run in self[name]]

    def mean(self, name: str, metric: str) -> float:
        """The mean of `metric` over the seeds of `name`."""
        return statistics.fmean(self.values_of(name, metric))

    def spread(self, name: str, metric: str, digits: int = 3) -> str:
        """Mean ± standard deviation of `metric` over the seeds of `name`, e.g. `0.803 ± 0.004`.

        As text with so many `digits` behind the point. The deviation is that of a sample (n − 1);
        one seed has no ±.
        """
        values = self.values_of(name, metric)
        text = f"{statistics.fmean(values):,.{digits}f}"
        if len(values) > 1 and not (digits == 0 and min(values) == max(values)):  # a count
            text += f" ± {np.std(values, ddof=1):.{digits}f}"
        return text

    def difference(self, name: str, reference: str | float, metric: str) -> Difference:
        """How much higher or lower `name` is in a `metric` than `reference`, a name or a number.

        Seed by seed where both have it. The margin is half of a 95 % interval: t·s/√n of the n
        paired seeds, with s the standard deviation of their differences and t Student's, of n − 1
        degrees of freedom. Accuracies and error rates are never told more precisely than their
        sampling of the examples allows, which are the same for every seed: 1.96·√(2p(1 − p)/m) for
        rates near p on m examples, and without the 2 beside a number. Of character error rates that
        is too wide.

        Raises ValueError where the two have no seed in common.

            print(runs.difference("Adam", "SGD", "test_accuracy"))  # in points: −9.9 ± 4.4
        """
        pair = isinstance(reference, str)
        first = self._by_seed(name, metric)
        second = self._by_seed(reference, metric) if pair else dict.fromkeys(first, reference)
        common = sorted(first.keys() & second.keys())
        if not common:
            raise ValueError(f"{name!r} and {reference!r} have no seed in common")
        paired = [first[seed] - second[seed] for seed in common]
        margins = []
        if re.search(rf"(accuracy|{ERROR_RATE})$", metric):
            examples = self[name][0].metrics[f"{metric.partition('_')[0]}_examples"]
            # a character error rate may be above 1
            p = min(1.0, statistics.fmean(second[seed] for seed in common))
            normal = statistics.NormalDist().inv_cdf(0.975)
            margins.append(normal * math.sqrt((2 if pair else 1) * p * (1 - p) / examples))
        # not statistics.stdev, which fails where a loss has diverged; seeds that agree to the last
        # digit, as on the best epoch, do not tell that others would
        if len(paired) > 1 and (deviation := float(np.std(paired, ddof=1))) > 0:
            from scipy.special import stdtrit  # here, because it takes its time to import

            t = float(stdtrit(len(paired) - 1, 0.975))
            margins.append(t * deviation / math.sqrt(len(paired)))
        return Difference(statistics.fmean(paired), max(margins, default=math.inf), len(paired))

    def _by_seed(self, name: str, metric: str) -> dict[int, float]:
        seeds = (run.config["seed"] for run in self[name])
        return dict(zip(seeds, self.values_of(name, metric), strict=True))

    def best(self, metric: str = "validation_loss") -> str:
        """The name with the best mean: the lowest loss or error rate, the highest of all else.

        What diverged is never the best.
        """
        sign = -1 if re.search(rf"(loss|{ERROR_RATE})$", metric) else 1

        def worth(name: str) -> float:
            mean = self.mean(name, metric)
            failed = math.isnan(mean) or any(run.diverged for run in self[name])
            return -math.inf if failed else sign * mean

        return max(self, key=worth)

    @property
    def stand_in(self) -> bool:
        """Whether any of them was trained on a stand-in for its data set."""
        return any(
            run.environment["data"].get("stand_in") for group in self.values() for run in group
        )

    def table(self, columns: Mapping[str, str]) -> pd.DataFrame:
        """One row per name, a column per metric: `table({"test accuracy": "test_accuracy"})`.

        Where runs diverged, a last column says how many.
        """
        if not isinstance(columns, Mapping):
            raise TypeError(f"{columns!r} is no mapping; write {{title: metric}}")
        diverged = {name: sum(run.diverged for run in self[name]) for name in self}
        return pd.DataFrame(
            [
                {
                    title: self.spread(name, metric, digits=DIGITS.get(metric, 3))
                    for title, metric in columns.items()
                }
                | {"seeds": len(self[name])}
                | ({"diverged": diverged[name]} if any(diverged.values()) else {})
                for name in self
            ],
            index=list(self),
        )

    def provenance(self) -> str:
        """One line on where the numbers come from: data, size, seeds, device, versions, keys."""
        runs = list({run.key: run for group in self.values() for run in group}.values())
        if not runs:
            return "no runs"

        def unique(values) -> str:
            return ", ".join(dict.fromkeys(str(value) for value in values))

        sets = [run.environment["data"] for run in runs]
        data = unique(
            f"{d['name']} from {d['source']}, sha256 {d['fingerprint'][:12]}…" for d in sets
        )
        examples = unique(
            f"{run.metrics['train_examples']:,} of {d['train_examples']:,} training "
            f"{d['examples']} and {run.metrics['test_examples']:,} test {d['examples']}"
            for run, d in zip(runs, sets, strict=True)
        )
        keys = ", ".join(run.key[:6] for run in runs[:6])
        seeds = sorted({run.config["seed"] for run in runs})
        more = f" and {len(runs) - 6} more" if len(runs) > 6 else ""
        return (
            f"{data}; {examples}, at most {unique(run.config['epochs'] for run in runs)} epochs, "
            f"seed{'s' if len(seeds) > 1 else ''} {unique(seeds)}; "
            f"{unique(run.environment['device'] for run in runs)}, "
            f"{unique(run.environment['precision'] for run in runs)}, "
            f"torch {unique(run.environment['torch'] for run in runs)}, "
            f"{unique(run.environment['finished'][:10] for run in runs)}; "
            f"runs {keys}{more}"
        )


def sweep(
    configs: Mapping[str, RunConfig] | RunConfig,
    axes: Mapping[str, Iterable] | None = None,
    *,
    seeds: Iterable[int] | None = None,
    device: str = "auto",
    jobs: int | None = None,
    scheduler: str | None = None,
) -> Runs:
    """Every Config with every seed: taken from the store where it is there, trained where not.

    `configs` are given by name, {name: Config}, or as one with `axes`, the values of some of its
    fields, of which every combination is meant. Without `seeds` each Config has its own. `device`
    is "auto", "cpu" or "cuda".

    Runs are trained one after another; with `jobs` (default: LABKIT_JOBS) so many at a time, each
    in a process of its own; with `scheduler` (default: LABKIT_SCHEDULER) on the Dask cluster at
    that address. What is finished is kept, whatever happens to the others. Raises ConfigError, with
    the run's name, where one cannot be.

        base = Config(network=rdfia(), optimizer=SGD(learning_rate=0.1))
        runs = sweep(base, {"optimizer.learning_rate": [0.1, 0.01]})
        runs = sweep({"SGD": base, "Adam": base.replace(optimizer=Adam(...))}, seeds=[0, 1])
    """
    configs = _named(configs, axes)
    seeds = _checked(seeds)
    wanted = {
        name: [
            Wanted(f"{name}, seed {seed}", config.replace(seed=seed), device)
            for seed in seeds or [config.seed]
        ]
        for name, config in configs.items()
    }
    every = [one for group in wanted.values() for one in group]
    # a run under two names is one run
    distinct = {one.key: one for one in reversed(every)}
    found = [(one, one.found()) for one in every if distinct[one.key] is one]
    missing = [one for one, run in found if run is None]
    recorded = [run for _, run in found if run]
    jobs, scheduler = cluster.chosen(jobs, scheduler)
    with LiveSweep(recorded, missing) as live, _over_all(len(missing)) as bar:

        def finished() -> None:
            bar()
            live.finished()

        if missing and scheduler:
            cluster.train(missing, scheduler, finished, live.show)
        elif min(jobs, len(missing)) > 1:
            with cluster.local(min(jobs, len(missing))) as address:
                cluster.train(missing, address, finished, live.show)
        else:
            for one in missing:
                try:
                    one.trained(partial(live.show, one.description))
                except ValueError as error:
                    raise ConfigError(f"{one.description}: {error}") from error
                finished()
    finished_runs = {name: [one.found() for one in group] for name, group in wanted.items()}
    for one, run in zip(every, itertools.chain(*finished_runs.values()), strict=True):
        if run is None:
            raise LabkitError(
                f"the record {one.key} of {one.description} is not under {project.runs()} any more "
                "though it was trained; something else removes records there"
            )
    return Runs(finished_runs)


def full_scale(configs: Mapping[str, RunConfig]) -> Runs:
    """The committed full-scale runs of these experiments, `configs` by name; or no runs at all.

    None unless each of them has some, and of as many epochs, so that no comparison mixes scales.

        recorded = full_scale(experiment)
    """
    found = {name: store.full_scale(config) for name, config in configs.items()}
    epochs = {run.config["epochs"] for group in found.values() for run in group}
    return Runs(found if all(found.values()) and len(epochs) == 1 else {})


def at_best_scale(runs: Runs, configs: Mapping[str, RunConfig], profile: str) -> tuple[Runs, str]:
    """What to judge these experiments by, and its profile: committed full-scale runs, else `runs`.

    `configs` are the experiments by name, and `runs` what came of them in `profile`. It is always
    `runs` in the full profile, and on stand-in data, whose classes are others.

        judged, judged_profile = at_best_scale(runs, experiment, profile)
    """
    recorded = Runs({}) if profile == "full" or runs.stand_in else full_scale(configs)
    return (recorded, "full") if recorded else (runs, profile)


def _named(
    configs: Mapping[str, RunConfig] | RunConfig, axes: Mapping[str, Iterable] | None
) -> Mapping[str, RunConfig]:
    if isinstance(configs, RunConfig):
        return grid(configs, axes or {})
    if axes:
        raise ConfigError("axes vary one Config; give that one instead of several by name")
    if not isinstance(configs, Mapping):
        raise ConfigError(f"configs: {configs!r}: give a Config, or several as {{name: Config}}")
    return configs


def _checked(seeds: Iterable[int] | None) -> list[int]:
    if seeds is None:
        return []
    if not isinstance(seeds, Iterable):
        raise ConfigError(f"seeds: {seeds!r}: give a list, such as [{seeds!r}]")
    seeds = [int(seed) for seed in seeds]
    if len(set(seeds)) < len(seeds) or not seeds:
        raise ConfigError(f"seeds: {seeds!r}: give at least one, each once")
    return seeds


@contextlib.contextmanager
def _over_all(count: int) -> Iterator[Callable[[], None]]:
    """A bar over all runs of a sweep; gives what to call after each."""
    if count < 2:
        yield lambda: None
    else:
        with progress.bar(count, "sweep", unit="run") as bar:
            yield bar.update
