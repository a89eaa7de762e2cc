"""The state of an unfinished run in one file, from which it goes on to the same end, to the bit.

A safetensors file (nothing is unpickled): tensors by name, all else as JSON in its header. It is
written beside its place and renamed, so that at any moment there is one whole state, or none. The
order of the examples and the learning rate are functions of the seed and the step, so the step is
all that they need.
"""

import hashlib
import json
import math
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from labkit.training.base_trainer import BaseTrainer

History = list[dict[str, float]]


@dataclass
class Progress:
    """What a run has found so far; with the trainer's state, all that a checkpoint holds."""

    seconds: float = 0.0
    history: History = field(default_factory=list)
    best_loss: float = math.nan  # or whatever the trainer judges by
    best_step: int = 0

    def add(self, measured: dict[str, float], trainer: BaseTrainer) -> dict[str, float]:
        """A row of history from what was measured just now; keeps the weights if they are best."""
        epoch = trainer.steps / trainer.steps_per_epoch
        row = {"step": trainer.steps, "epoch": epoch, **measured, "seconds": self.seconds}
        self.history.append(row)
        loss = row[trainer.best_by]
        # without a validation split the last is the best; any number is better than none
        if not len(trainer.validation) or math.isnan(self.best_loss) or loss < self.best_loss:
            self.best_loss, self.best_step = loss, trainer.steps
            trainer.keep_best()
        return row


def save(path: Path, trainer: BaseTrainer, done: Progress) -> None:
    """Write the state of a run to `path`, whole or not at all."""
    tensors = {
        **_named("model", trainer.model.state_dict()),
        **_named("best", trainer.best),
        **_named("meter", trainer.meter.state_dict()),
        **_named("random", _random_states(trainer)),
        "step_loss": trainer.step_loss,
    }
    numbers: dict[str, dict] = {}  # of an optimizer's state, what is no tensor
    for index, state in trainer.optimizer.state_dict()["state"].items():
        tensors |= _named(f"optimizer.{index}", {k: v for k, v in state.items() if _is_tensor(v)})
        numbers[str(index)] = {k: v for k, v in state.items() if not _is_tensor(v)}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    about = {
        "steps": trainer.steps,
        "done": asdict(done),
        "optimizer": numbers,
        "sha256": _checksum(tensors),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.tmp")
    safetensors.torch.save_file(tensors, beside, metadata={"labkit": json.dumps(about)})
    beside.replace(path)


def load(path: Path, trainer: BaseTrainer) -> Progress | None:
    """Bring `trainer` into the state saved at `path`; None where there is no state.

    A file that is damaged is set aside and reported.
    """
    if not path.exists():
        return None
    try:
        tensors, about = _read(path)
    except ValueError as error:
        set_aside(path, f"checkpoint {path.name} cannot be read ({error})", "from the beginning")
        return None
    done = Progress(**about["done"])
    trainer.steps = about["steps"]
    trainer.model.load_state_dict(_part("model", tensors))
    for name, value in _part("best", tensors).items():
        trainer.best[name].copy_(value)  # into what has the model's memory layout
    trainer.meter.load_state_dict(_part("meter", tensors))
    trainer.step_loss.copy_(tensors["step_loss"])
    _load_optimizer(trainer, tensors, about["optimizer"])
    _set_random_states(trainer, _part("random", tensors))
    return done


def set_aside(path: Path, why: str, trained: str) -> None:
    """Move what is damaged out of the way, never to be trusted nor deleted, and say so."""
    aside = Path(tempfile.mkdtemp(prefix=f"damaged-{path.name.strip('.')}-", dir=path.parent))
    path.rename(aside / path.name)
    print(f"{why}; set aside in {aside.name}, trained {trained}", file=sys.stderr)


def _read(path: Path) -> tuple[dict[str, Tensor], dict]:
    """The tensors and the rest; ValueError if they are not what was saved."""
    try:
        tensors = safetensors.torch.load_file(path)
        with safetensors.safe_open(path, "pt") as file:
            about = json.loads(file.metadata()["labkit"])
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise ValueError(error) from None
    if about["sha256"] != _checksum(tensors):
        raise ValueError("its checksum is another")
    return tensors, about


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _load_optimizer(trainer: BaseTrainer, tensors: dict[str, Tensor], numbers: dict) -> None:
    state = {}
    for index, parameter in enumerate(trainer.trained):
        if str(index) not in numbers:  # no step was taken yet
            continue
        state[index] = {
            # a fused kernel reads weights and their averages side by side: in one memory layout
            name: torch.empty_like(parameter).copy_(value)
            if value.shape == parameter.shape
            else value
            for name, value in _part(f"optimizer.{index}", tensors).items()
        } | numbers[str(index)]
    groups = trainer.optimizer.state_dict()["param_groups"]
    trainer.optimizer.load_state_dict({"state": state, "param_groups": groups})


def _random_states(trainer: BaseTrainer) -> dict[str, Tensor]:
    """Of what dropout draws from (the device's own generator), and of augmentation's."""
    states = {"cpu": torch.get_rng_state(), "augmentation": trainer.augmentation_draws.get_state()}
    if trainer.device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(trainer.device)
    return states


def _set_random_states(trainer: BaseTrainer, states: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(states["cpu"])
    trainer.augmentation_draws.set_state(states["augmentation"])
    if "cuda" in states and trainer.device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], trainer.device)


def _named(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def _part(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {name[len(start) :]: value for name, value in tensors.items() if name.startswith(start)}


def _is_tensor(value) -> bool:
    return isinstance(value, Tensor)
