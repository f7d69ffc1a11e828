"""OpenBLAS: chosen by what the processor can do, announced, and never loaded behind MLX's back."""

import logging
import subprocess
import sys

import mlx.core  # noqa: F401  (imported on purpose: too late for OpenBLAS)
import pytest

from assay.train import blas


def test_kernels_by_ability():
    assert blas.best_kernels({"avx2", "avx512vl"}) == "SkylakeX"
    assert blas.best_kernels({"avx2"}) == "Haswell"
    assert blas.best_kernels(set()) == ""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
def test_after_mlx_it_is_too_late_and_says_so(caplog):
    assert blas.use_openblas() is None
    assert "MLX was imported before" in caplog.text


@pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
def test_it_can_be_switched_off_and_may_be_absent(caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("ASSAY_OPENBLAS", "0")
    assert blas.use_openblas() is None
    assert "ASSAY_OPENBLAS=0" in caplog.text
    monkeypatch.delenv("ASSAY_OPENBLAS")
    monkeypatch.delitem(sys.modules, "mlx.core")
    monkeypatch.setattr(blas, "LIBRARY", "libno_such_blas.so.0")
    assert blas.use_openblas() is None
    assert "there is no libno_such_blas.so.0" in caplog.text


def test_assay_train_does_not_import_mlx():
    code = "import sys, assay.train; sys.exit('mlx.core' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
