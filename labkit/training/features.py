"""What the frozen first modules of a network make of images: computed once, and kept on disk.

    images ─→ scaled, enlarged ─→ frozen modules ─→ features (N, …) ─→ the modules that are trained
              └────────── once for a split ────────┘                   └─ at every step ─┘

Training a classifier on a frozen backbone is then a matter of seconds: the backbone sees each image
once, and not once an epoch. It is done where nothing in front of the features changes from epoch to
epoch, see `Trainer`.
"""

import contextlib
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from labkit import progress, project
from labkit.data import preprocess, sources
from labkit.models import builder

# of all features of a run together, as float32; above it they are computed anew at every step
MOST_BYTES = 3 << 30


def folder() -> Path:
    """Where features are kept."""
    return sources.cache_folder().parent / "features"


def kept(
    images: Tensor,
    compute: Callable[[Tensor], Tensor],
    *,
    made_by: str,
    batch: int,
    description: str,
) -> Tensor:
    """`compute` of all `images`, `batch` at a time, or what was kept of it: (N, …) float32.

    `made_by` says what decides the features of an image; they are kept under its hash, the images'
    and that of the code. With LABKIT_FRESH set they are computed anew.
    """
    about = [made_by, torch.__version__, images.device.type, *_code()]
    content = hashlib.sha256("\n".join(about).encode())
    content.update(str(tuple(images.shape)).encode())
    content.update(images.cpu().contiguous().numpy())
    path = folder() / f"{content.hexdigest()[:24]}.npy"
    with contextlib.suppress(OSError, ValueError, EOFError):  # none there, or damaged
        found = np.load(path, mmap_mode="c", allow_pickle=False)
        since = project.fresh_since()
        old = since and path.stat().st_mtime < since.timestamp()
        if len(found) == len(images) and found.dtype == np.float32 and not old:
            return torch.from_numpy(found).to(images.device)
    parts = []
    with torch.inference_mode(), progress.bar(len(images), description, unit="image") as bar:
        for part in images.split(batch):
            parts.append(compute(part).float().contiguous())
            bar.update(len(part))
    features = torch.cat(parts)
    _keep(path, features)
    # tensors of the inference mode could not be trained on
    return features.clone()


def checksum(module: nn.Module) -> str:
    """Of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        digest.update(f"{name} {tuple(value.shape)}".encode())
        digest.update(value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _code() -> list[str]:
    """The modules that what is kept was computed with."""
    return [Path(module.__file__).read_text() for module in (preprocess, builder)]


def _keep(path: Path, features: Tensor) -> None:
    """Write them whole or not at all; a full disk costs the next run some time, no more."""
    beside = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
            beside = Path(file.name)
            np.save(file, features.cpu().numpy())
        os.replace(beside, path)
    except OSError as error:
        print(f"labkit: features could not be kept in {path.parent} ({error})", file=sys.stderr)
    finally:
        if beside:
            beside.unlink(missing_ok=True)
