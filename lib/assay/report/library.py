"""Libraries that only the report needs, imported when a figure or the page is made.

>>> library("matplotlib.figure").Figure.__name__
'Figure'
"""

from importlib import import_module
from typing import Any

from assay.errors import AssayError


class NotInstalled(AssayError):
    """A report was asked for, and a library that makes it is not installed."""


def library(name: str) -> Any:
    """The module of this name. Raises NotInstalled, which says how to get it."""
    try:
        return import_module(name)
    except ImportError as error:
        needed = name.partition(".")[0]
        raise NotInstalled(
            f"the report needs {needed}, which is not installed: pip install 'mlx-assay[report]'"
        ) from error
