"""torchvision, also where its compiled operators do not fit the installed torch.

torchvision's wheel from the package index is compiled against the CUDA build of torch. Beside a CPU
build its operators do not load; torchvision itself takes that calmly, except that it attaches a
shape function to `nms` and `qnms` at import, and those two then do not exist. Declaring their
signatures is enough for transforms, models and datasets; calling them (box detection) still fails.
"""

import importlib
import sys
from types import ModuleType
from typing import Any

_declared: Any = None  # the declarations last as long as this torch.library.Library


def import_torchvision() -> ModuleType:
    """Return the module `torchvision`.

    >>> import_torchvision().datasets.CIFAR10.base_folder
    'cifar-10-batches-py'
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    _declare_missing_operators()
    return importlib.import_module("torchvision")


def _declare_missing_operators() -> None:
    global _declared
    import torch  # seconds, which who needs no torchvision can spare

    # Python has dropped the package itself after the failed import, but not its finished parts
    for module in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[module]
    # only after a failed import: compiled operators that do load declare these themselves, and a
    # second declaration is an error
    _declared = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        _declared.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
