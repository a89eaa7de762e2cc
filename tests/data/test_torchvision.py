"""The shim, each time in a process of its own: torchvision can be imported only once."""

import os
import subprocess
import sys

import pytest


def python(code: str, path: str = "") -> subprocess.CompletedProcess:
    paths = os.pathsep.join(filter(None, [path, os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": paths}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )


SHIM = "from labkit.data._torchvision import import_torchvision; tv = import_torchvision(); "


def test_models_transforms_and_datasets_work():
    done = python(
        SHIM
        + "import torch; from torchvision.transforms import v2; "
        + "x = v2.RandomHorizontalFlip(1.0)(torch.arange(6.0).reshape(1, 2, 3)); "
        + "assert x[0, 0].tolist() == [2, 1, 0]; "
        + "assert tv.models.resnet18()(torch.zeros(1, 3, 64, 64)).shape == (1, 1000); "
        + "assert tv.datasets.CIFAR10.tgz_md5; "
        + "assert import_torchvision() is tv"
    )
    assert done.returncode == 0, done.stderr


# what torchvision's modules do at import, reduced to the parts that matter
BROKEN = """
import torch
@torch.library.register_fake("torchvision::nms")
def nms(dets, scores, iou_threshold): ...
@torch.library.register_fake("torchvision::qnms")
def qnms(dets, scores, iou_threshold): ...
"""
WORKING = """
import torch
library = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


@pytest.mark.parametrize(("source", "declares"), [(BROKEN, True), (WORKING + BROKEN, False)])
def test_operators_are_declared_only_where_they_are_missing(tmp_path, source, declares):
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(source)
    done = python(
        SHIM
        + "from labkit.data import _torchvision as shim; import torch; "
        + f"assert tv.__file__.startswith({str(tmp_path)!r}); "
        + f"assert (shim._declared is not None) is {declares}; "
        + "assert torch.ops.torchvision.nms and torch.ops.torchvision.qnms",
        path=str(tmp_path),
    )
    assert done.returncode == 0, done.stderr


def test_another_error_is_not_hidden(tmp_path):
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text("raise RuntimeError('out of order')")
    done = python(
        "from labkit.data import _torchvision as shim\n"
        "try:\n"
        "    shim.import_torchvision()\n"
        "except RuntimeError as error:\n"
        "    assert str(error) == 'out of order'\n"
        "    assert shim._declared is None\n"
        "else:\n"
        "    raise AssertionError('the error was swallowed')\n",
        path=str(tmp_path),
    )
    assert done.returncode == 0, done.stderr
