"""Imports torchvision, also where its CUDA build lies beside a CPU build of torch.

There the operators of its compiled part are missing and the import stops at "operator torchvision::nms does not
exist". Declaring the two by name is all that the import needs; nothing that we use calls them.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

_keep_alive: list[Any] = []
_BOXES = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def torchvision_module(name: str = "torchvision") -> ModuleType:
    """`torchvision` or one of its submodules.

    Raises:
        ImportError: it is not installed.
        RuntimeError: it does not fit the installed torch in another way than the one mended here.
    """
    try:
        return import_module(name)
    except RuntimeError as error:
        if _keep_alive or "torchvision::nms does not exist" not in str(error):
            raise
    import torch

    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for operator in ("nms", "qnms"):
        library.define(operator + _BOXES)  # type: ignore[no-untyped-call]
    _keep_alive.append(library)
    for module in [module for module in sys.modules if module.partition(".")[0] == "torchvision"]:
        del sys.modules[module]
    return import_module(name)
