"""Fixtures and settings of this repository only; everything else is in the plugin (`-p assay.plugin`, see pytest.ini)."""

import os
from pathlib import Path

os.environ.setdefault("MLX_DISABLE_COMPILE", "1")  # same bits, no C++ compiler at run time, no races between workers
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing here downloads: an outage cannot change a result
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# What tests start in processes of their own is this checkout, too, and not another one that happens to be installed.
LIB = str(Path(__file__).parent / "lib")
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (LIB, os.environ.get("PYTHONPATH"))))

pytest_plugins = ("pytester",)  # for tests/plugin; only a root conftest may ask for it
