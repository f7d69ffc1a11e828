"""Fixtures and settings of this repository only; everything else is in the plugin (`-p assay.plugin`, see pytest.ini)."""

import os

os.environ.setdefault("MLX_DISABLE_COMPILE", "1")  # same bits, no C++ compiler at run time, no races between workers
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing here downloads: an outage cannot change a result
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

pytest_plugins = ("pytester",)  # for tests/plugin; only a root conftest may ask for it
