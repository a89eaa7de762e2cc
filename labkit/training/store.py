"""Run records, found by their content.

A record is a folder named by its key: `config.json`, `history.csv`, `metrics.json`,
`environment.json`, `arrays.safetensors`, `weights.safetensors`. It is written beside its place and
renamed, so it is whole or absent; the environment holds the checksums of the others.

The key hashes the Config, the data's fingerprint and the source of the modules that can change the
result. Device, versions and time are recorded and shown, not part of the key; the precision that
the device resolves `auto` to is.

Committed records of full-scale runs (`reports/results/`, without weights) are matched by Config
alone, so that a later edit of the trainer does not orphan them.
"""

import ast
import contextlib
import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path

import pandas as pd
import safetensors.torch
import torch
from filelock import FileLock
from pydantic import BaseModel
from torch import Tensor

import labkit
from labkit import project
from labkit.data import Dataset, WordSet
from labkit.errors import LabkitError
from labkit.training.checkpoint import set_aside
from labkit.training.config import RunConfig, resolve_device, resolve_precision
from labkit.training.kinds import KINDS, kind_name, kind_of
from labkit.training.loop import SPLITS, Result

Data = Dataset | WordSet

FILES = ("config.json", "history.csv", "metrics.json", "environment.json")
ARRAYS = "arrays.safetensors"
WEIGHTS = "weights.safetensors"

# how much of each split is used; absent or None: all
_SIZES = frozenset(f"{split}_{kind.examples}" for split in SPLITS for kind in KINDS.values())
# what a profile changes: how much is trained, not what
BUDGET = _SIZES | {"measured_train_images", "epochs", "seed", "precision"}


@dataclass(frozen=True)
class Run:
    """One finished run, read from its `folder`.

    `config` is what was asked for (plain values), `metrics` what came of it
    (`metrics["test_accuracy"]`, shares in 0…1, losses in nats), `environment` on which machine,
    data and versions. `history` is a table with a row per validation, `arrays` and `weights` are
    tensors by name.
    """

    folder: Path
    config: dict
    metrics: dict
    environment: dict

    @property
    def key(self) -> str:
        """The hash that it is found by, and the name of its folder."""
        return self.folder.name

    @property
    def diverged(self) -> bool:
        """Whether it ended because its loss was no number any more."""
        return str(self.metrics.get("stopped")).startswith("diverged")

    def summary(self) -> str:
        """One line: key, time, device, what was trained and how, what it reached."""
        examples, network = kind_of(self.config).examples, self.config["network"]
        if isinstance(network, dict):
            layers = f"encoder–decoder with{'' if network['attention'] else 'out'} attention"
            reached = "test_cer"
        else:
            layers, reached = f"{len(network)} layers", "test_accuracy"
        return (
            f"{self.key}  {self.environment['finished'][:16]}  {self.environment['device']}  "
            f"{self.metrics['train_examples']:,} {examples} × {self.config['epochs']}, "
            f"{layers}, {self.config['optimizer']['name']} "
            f"{self.config['optimizer']['learning_rate']:g}, batch {self.config['batch_size']}, "
            f"seed {self.config['seed']}: "
            + (
                "diverged"
                if self.diverged
                else f"{reached.replace('_', ' ')} {self.metrics[reached]:.3f}"
            )
        )

    @cached_property
    def history(self) -> pd.DataFrame:
        """One row per validation: step, epoch, what was measured, seconds since the start."""
        return pd.read_csv(self.folder / "history.csv")

    @property
    def has_weights(self) -> bool:
        """Whether its weights are here; of committed records they are not."""
        return (self.folder / WEIGHTS).exists()

    @cached_property
    def arrays(self) -> dict[str, Tensor]:
        """`step_loss` (steps,), and what `measured` of the run's trainer gives."""
        return self._tensors(ARRAYS, "has no arrays: it was made by labkit 0.1.0")

    @property
    def weights(self) -> dict[str, Tensor]:
        """The best weights; committed records do not hold them."""
        return self._tensors(WEIGHTS, "was committed without weights")

    def _tensors(self, name: str, without: str) -> dict[str, Tensor]:
        if not (self.folder / name).exists():
            raise FileNotFoundError(f"run {self.key} {without}; train it here with --fresh")
        return safetensors.torch.load_file(self.folder / name)


def key(config: RunConfig, fingerprint: str, device: torch.device | str) -> str:
    """The name of the record of `config` on data with this fingerprint."""
    precision = resolve_precision(config.precision, torch.device(device))
    return _key(config.replace(precision=precision).to_json(), fingerprint)


def _key(config: dict, fingerprint: str) -> str:
    content = {"config": config, "data": fingerprint, "source": _source_hash(kind_name(config))}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def is_current(run: Run) -> bool:
    """Whether the present code would give and find this run under its key."""
    config = {**run.config, "precision": run.environment["precision"]}
    return run.key == _key(config, run.environment["data"]["fingerprint"])


def find(config: RunConfig, dataset: Data, device: str = "auto") -> Run | None:
    """The finished run of `config`: made here, or committed; None where there is neither.

    Precision `auto` takes a record of either, that of this machine first: another may have made it.
    With LABKIT_FRESH set to a time (ISO 8601), what is older is passed over.
    """
    own = resolve_precision(config.precision, resolve_device(device))
    either = ("fp32", "bf16") if config.precision == "auto" else ()
    for precision in dict.fromkeys((own, *either)):
        name = key(config.replace(precision=precision), dataset.fingerprint, "cpu")
        with contextlib.suppress(ValueError):
            if _is_fresh(run := read(project.runs() / name)):
                return run
    # committed ones are found by their Config alone, and never for a stand-in
    if os.environ.get("LABKIT_FRESH") or dataset.stand_in:
        return None
    return _committed(config, dataset.fingerprint)


def full_scale(config: RunConfig) -> list[Run]:
    """Committed runs of the same experiment: equal in all but the budget (`BUDGET`).

    Of these, the ones with the most epochs; one for each seed, the newest.
    """
    found = [run for run in committed_runs() if _matches(run.config, config, ignoring=BUDGET)]
    most = max((run.config["epochs"] for run in found), default=0)
    found = [run for run in found if run.config["epochs"] == most]
    newest_last = sorted(found, key=lambda run: run.environment["finished"])
    by_seed = {run.config["seed"]: run for run in newest_last}
    return [by_seed[seed] for seed in sorted(by_seed)]


def save(config: RunConfig, dataset: Data, result: Result, device: str = "auto") -> Run:
    """Write the record of a finished run: whole, or not at all."""
    place = resolve_device(device)
    with _whole(project.runs() / key(config, dataset.fingerprint, place)) as beside:
        _write_json(beside / "config.json", config.to_json())
        _write_json(beside / "metrics.json", result.metrics)
        pd.DataFrame(result.history).to_csv(beside / "history.csv", index=False)
        safetensors.torch.save_file(result.arrays, beside / ARRAYS)
        safetensors.torch.save_file(result.weights, beside / WEIGHTS)
        checksums = {path.name: _sha256(path) for path in sorted(beside.iterdir())}
        about = {**environment(config, dataset, place), "sha256": checksums}
        _write_json(beside / "environment.json", about)
    return read(project.runs() / key(config, dataset.fingerprint, place))


def pack(run: Run) -> dict[str, bytes]:
    """The files of a record, to be sent to where `unpack` files them."""
    files = [path for path in sorted(run.folder.iterdir()) if path.is_file()]
    return {path.name: path.read_bytes() for path in files}


def unpack(name: str, files: Mapping[str, bytes]) -> Run:
    """File the record `name` that was made elsewhere, unless it is here already, and fresh."""
    folder = project.runs() / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(project.runs() / f".{name}.lock"):
        _set_aside_damaged(folder)
        if not folder.exists() or not _is_fresh(read(folder)):
            with _whole(folder) as beside:
                for each, content in files.items():
                    (beside / each).write_bytes(content)
        return read(folder)


@contextlib.contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """A folder to write into, which becomes `folder` at the end: whole, or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield beside
        beside.chmod(0o755)
        if folder.exists():  # an older run of the same content, which --fresh replaces
            folder.rename(beside / "replaced")
        beside.rename(folder)
        shutil.rmtree(folder / "replaced", ignore_errors=True)
    except BaseException:
        if (beside / "replaced").exists() and not folder.exists():
            (beside / "replaced").rename(folder)
        shutil.rmtree(beside, ignore_errors=True)
        raise


def set_aside_damaged(config: RunConfig, dataset: Data, device: str = "auto") -> None:
    """Move the record of `config` out of the way if it cannot be read; call it under `lock`."""
    _set_aside_damaged(project.runs() / key(config, dataset.fingerprint, resolve_device(device)))


def _set_aside_damaged(folder: Path) -> None:
    if not folder.is_dir():
        return
    try:
        read(folder)
    except ValueError as error:
        set_aside(folder, str(error), "again")


def read(folder: Path) -> Run:
    """The record in `folder`; ValueError names the file that is missing or damaged."""
    contents = {}
    for name in FILES:
        path = folder / name
        try:
            contents[name] = pd.read_csv(path) if path.suffix == ".csv" else _read_json(path)
        except (OSError, ValueError) as error:
            raise ValueError(f"run record {folder.name}: {name} cannot be read ({error})") from None
    for name, content in contents.items():
        if name != "history.csv" and not isinstance(content, dict):
            raise ValueError(f"run record {folder.name}: {name} holds no keys and values")
    run = Run(folder, *(contents[name] for name in FILES if name != "history.csv"))
    for name, checksum in run.environment.get("sha256", {}).items():
        path = folder / name
        if name == WEIGHTS and not path.exists():
            continue  # committed
        try:
            damaged = _sha256(path) != checksum
        except OSError as error:
            raise ValueError(f"run record {folder.name}: {name} cannot be read ({error})") from None
        if damaged:
            raise ValueError(f"run record {folder.name}: {name} is not what was written (checksum)")
    run.__dict__["history"] = contents["history.csv"]
    # records from before there were pretrained networks: all parameters were trained
    run.metrics.setdefault("trained_parameters", run.metrics.get("num_parameters"))
    # and from before words were trained on
    data = run.environment["data"]
    data.setdefault("examples", "images")
    data.setdefault("train_examples", data.pop("train_images", None))
    return run


@cache
def committed_runs() -> tuple[Run, ...]:
    """Every record under `reports/results/`."""
    folders = [path for path in sorted(project.results().glob("[!.]*")) if path.is_dir()]
    try:
        return tuple(read(folder) for folder in folders)
    except ValueError as error:
        raise LabkitError(
            f"{error}; restore it with `git checkout reports/results`, or remove the folder"
        ) from None


def local_runs() -> list[Run]:
    """Every readable record made here, the oldest first."""
    found = []
    for path in project.runs().glob("[!.]*/config.json"):
        with contextlib.suppress(ValueError):
            found.append(read(path.parent))
    return sorted(found, key=lambda run: run.environment["finished"])


def is_full_scale(run: Run) -> bool:
    """Whether it was trained on the whole training split, and measured on all of the others."""
    return not any(run.config["data"].get(size) for size in _SIZES)


def is_committed(run: Run) -> bool:
    """Whether a run of the same Config lies in `reports/results/`."""
    return any(run.config == committed.config for committed in committed_runs())


def commit() -> list[Run]:
    """Copy the full-scale records made here to `reports/results/`, without their weights.

    Full-scale is a run on the whole of every split, and not on a stand-in's. Of runs with equal
    Configs the one that is committed already stays.
    """
    copied = []
    project.results().mkdir(parents=True, exist_ok=True)
    for run in local_runs():
        stand_in = run.environment["data"].get("stand_in")
        if stand_in or not is_full_scale(run) or is_committed(run):
            continue
        place = project.results() / run.key
        beside = Path(tempfile.mkdtemp(prefix=f".{run.key}-", dir=place.parent)) / run.key
        shutil.copytree(run.folder, beside, ignore=shutil.ignore_patterns(WEIGHTS))
        beside.rename(place)
        beside.parent.rmdir()
        copied.append(read(place))
        committed_runs.cache_clear()
    return copied


def unfinished(config: RunConfig, dataset: Data, device: str = "auto") -> Path:
    """Where the state of the run of `config` is saved until it is finished.

    With LABKIT_FRESH set to a time, a state that is older is removed: training begins anew.
    """
    path = (
        project.runs() / f".{key(config, dataset.fingerprint, resolve_device(device))}.unfinished"
    )
    since = project.fresh_since()
    if since and path.exists() and path.stat().st_mtime < since.timestamp():
        path.unlink()
    return path


def lock(config: RunConfig, dataset: Data, device: str = "auto") -> FileLock:
    """Held while a run is trained, so that two processes that want it train it once."""
    project.runs().mkdir(parents=True, exist_ok=True)
    name = key(config, dataset.fingerprint, resolve_device(device))
    return FileLock(project.runs() / f".{name}.lock")


def environment(config: RunConfig, dataset: Data, device: torch.device) -> dict:
    """What a run was made with: shown beside its numbers, not part of its key."""
    return {
        "data": {
            "name": dataset.name,
            "source": dataset.source,
            "fingerprint": dataset.fingerprint,
            "examples": kind_of(config).examples,
            "train_examples": len(dataset.train),
            "stand_in": dataset.stand_in,
        },
        "device": device_name(device),
        "precision": resolve_precision(config.precision, device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "labkit": labkit.__version__,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def device_name(device: torch.device) -> str:
    """The name that the maker gave the processor, e.g. `NVIDIA H200`."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return f"{line.split(':', 1)[1].strip()} (CPU)"
    return f"{platform.processor() or platform.machine()} (CPU)"


def _matches(recorded: dict, config: BaseModel, ignoring: frozenset[str]) -> bool:
    wanted = json.loads(config.model_dump_json())
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if name in ignoring:
            continue
        if name not in recorded:  # a field that came after the record: it ran with the default
            if value != field.default:
                return False
        elif isinstance(value, BaseModel) and isinstance(recorded[name], dict):
            if not _matches(recorded[name], value, ignoring):
                return False
        elif recorded[name] != wanted[name]:
            return False
    return True


def _is_fresh(run: Run) -> bool:
    since = project.fresh_since()
    return not since or datetime.fromisoformat(run.environment["finished"]) >= since


def _committed(config: RunConfig, fingerprint: str) -> Run | None:
    exact = kind_of(config).exact_data
    for run in reversed(committed_runs()):
        if exact and run.environment["data"]["fingerprint"] != fingerprint:
            continue  # of other words under the same name
        # `auto` takes a record of either precision; one that was asked for by name must be the same
        if config.precision in ("auto", run.environment["precision"]) and _matches(
            run.config, config, ignoring=frozenset({"precision"})
        ):
            return run
    return None


@cache
def _source_hash(kind: str) -> str:
    package = Path(labkit.__file__).parent
    digest = hashlib.sha256()
    for name in KINDS[kind].decisive:
        digest.update(_code_alone((package / name).read_text()).encode())
    return digest.hexdigest()


def _code_alone(source: str) -> str:
    """The code without comments, docstrings and layout, none of which changes a run."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            node.body = node.body[1:]
    return _written_out(tree)


def _written_out(node: object) -> str:
    """A syntax tree as text that every Python version gives alike, unlike ast.unparse and dump."""
    if isinstance(node, list):
        return f"[{', '.join(map(_written_out, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    # an empty field is left out: some versions have fields that others do not know
    fields = [(name, value) for name, value in ast.iter_fields(node) if value not in (None, [])]
    inner = ", ".join(f"{name}={_written_out(value)}" for name, value in fields)
    return f"{type(node).__name__}({inner})"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _read_json(path: Path) -> dict:
    return json.loads(path.read_text())


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")
