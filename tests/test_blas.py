"""Which library multiplies: chosen once, before mlx, by name or by what is there, and said."""

import ctypes
import os
import subprocess
import sys

import pytest

from assay import blas
from assay.errors import AssayError

linux = pytest.mark.skipif(sys.platform != "linux", reason="on Linux, where MLX's wheel brings a BLAS of its own")
HERE = [name for name in blas.order() if sys.platform == "linux" and blas._open(name) is not None]

PRODUCT = """
import logging, sys, zlib
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
import assay
from assay import blas
import mlx.core as mx, numpy as np
from assay.forward.arithmetic import machine
draw = np.random.default_rng(0)
a, b = (mx.array(draw.standard_normal((300, 700)), mx.float32) for _ in range(2))
exact = np.array(a, np.float64) @ np.array(b, np.float64).T
found = np.array(a @ b.T)
print("RESULT", blas.in_use().name, machine().rows, zlib.crc32(found.tobytes()), np.abs(found - exact).max() < 1e-3)
"""


def product(code=PRODUCT, **env):
    """What a new process prints."""
    run = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | env, capture_output=True, text=True, check=False, timeout=120
    )
    return run.stdout + run.stderr


def test_kernels_by_ability():
    assert blas.best_kernels({"avx2", "avx512vl"}) == "SkylakeX"
    assert blas.best_kernels({"avx2"}) == "Haswell"
    assert blas.best_kernels(set()) == ""


@linux
def test_the_reference_computes_a_row_alone_as_in_a_batch():
    (result,) = [line for line in product(ASSAY_BLAS="reference").splitlines() if line.startswith("RESULT")]
    assert result.split()[1:3] == ["reference", "True"]
    assert result.endswith("True")


@linux
@pytest.mark.skipif(not HERE, reason="on a machine with OpenBLAS, MKL or BLIS (apt install libopenblas0-pthread)")
def test_a_fast_one_is_put_in_front_says_so_and_gives_the_same_bits_every_time():
    reference = product(ASSAY_BLAS="reference")
    first, second = product(ASSAY_BLAS="auto"), product(ASSAY_BLAS=HERE[0])
    assert first == second
    assert f"matrix products by {HERE[0]}" in first
    (result,) = [line for line in first.splitlines() if line.startswith("RESULT")]
    assert result.split()[1] == HERE[0]
    assert result.endswith("True")
    assert result.split()[3] not in reference  # it did multiply: sums in another order have other last bits


@linux
def test_it_may_be_absent_and_says_what_that_costs(monkeypatch, caplog):
    monkeypatch.setattr(blas, "CANDIDATES", {"openblas": ("libno_such_blas.so.0",)})
    monkeypatch.setattr(blas, "_in_front", None)
    monkeypatch.setenv("ASSAY_BLAS", "auto")
    blas.put_in_front()
    assert blas.in_use() == blas.REFERENCE
    assert "ten to forty times" in caplog.text
    assert "libopenblas0-pthread" in caplog.text
    monkeypatch.setenv("ASSAY_BLAS", "openblas")
    with pytest.raises(AssayError, match="ASSAY_BLAS=openblas: there is no such library"):
        blas.put_in_front()


@pytest.mark.parametrize("name", ["openblass", "/no/such/library.so"])
def test_a_name_that_means_nothing_is_an_error(monkeypatch, name):
    monkeypatch.setenv("ASSAY_BLAS", name)
    with pytest.raises(AssayError, match="ASSAY_BLAS is auto, reference, openblas, mkl, blis or the path"):
        blas.asked()


def test_the_nearest_name_is_suggested(monkeypatch):
    monkeypatch.setenv("ASSAY_BLAS", "openblass")
    with pytest.raises(AssayError, match="Did you mean openblas"):
        blas.asked()


@linux
def test_a_library_that_multiplies_wrongly_is_not_taken(tmp_path, monkeypatch):
    """A product with sizes of 64 bits, or a library without one, would be silently wrong numbers."""

    class Wrong:
        def cblas_sgemm(self, *args):
            args[-2][0] = 7.0

    assert not blas._multiplies(Wrong())
    assert not blas._multiplies(ctypes.CDLL(None)) or HERE
    text = tmp_path / "libmine.so"
    text.write_text("no library")
    monkeypatch.setenv("ASSAY_BLAS", str(text))
    monkeypatch.setattr(blas, "_in_front", None)
    with pytest.raises(AssayError, match="no such library that multiplies float32"):
        blas.put_in_front()


@linux
def test_after_mlx_it_is_too_late_and_says_so():
    said = product("import mlx.core, assay; from assay import blas; print('USES', blas.in_use())", ASSAY_BLAS="auto")
    assert "mlx was imported before assay" in said
    assert "ten to forty times" in said
    assert "USES reference" in said


def test_assay_alone_loads_no_library_and_no_mlx():
    code = (
        "import sys, assay, assay.testbed; from assay import blas\n"
        "sys.exit('mlx.core' in sys.modules or blas._in_front is not None)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@linux
def test_no_variable_of_the_environment_is_changed_but_the_kernels():
    code = (
        "import os; before = dict(os.environ); import assay, mlx.core\n"
        "print('CHANGED', sorted(k for k in os.environ if os.environ[k] != before.get(k)))"
    )
    clean = {k: v for k, v in os.environ.items() if k not in ("OPENBLAS_CORETYPE", "MLX_ENABLE_TF32")}
    run = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True, check=True)
    assert set(eval(run.stdout.split("CHANGED")[1])) <= {"OPENBLAS_CORETYPE", "MLX_ENABLE_TF32"}


def test_lanes_cut_the_work_and_not_the_library(monkeypatch):
    """One thread in the library: two lanes with two threads each would be four on two cores."""
    asked = []

    class Library:
        def openblas_set_num_threads(self, n):
            asked.append(n)

    blas._single_threaded(Library())
    assert asked == [1]


def test_on_amd_the_one_that_copies_nothing_comes_first(monkeypatch):
    monkeypatch.setattr(blas, "_cpuinfo", lambda: "vendor_id\t: AuthenticAMD\nflags\t: avx2\n")
    assert blas.order() == ["blis", "openblas", "mkl"]
    monkeypatch.setattr(blas, "_cpuinfo", lambda: "vendor_id\t: GenuineIntel\nflags\t: avx2 avx512vl\n")
    assert blas.order() == ["openblas", "mkl", "blis"]
    assert blas.best_kernels(blas.cpu_flags()) == "SkylakeX"


@linux
def test_a_wrong_name_stays_wrong_at_the_second_import():
    """Whoever runs the cell again must not get the slow library without a word."""
    code = (
        "import assay\nfor _ in range(2):\n    try:\n        import mlx.core\n"
        "    except assay.AssayError as error:\n        print('SAYS', error)"
    )
    assert product(code, ASSAY_BLAS="nope").count("SAYS ASSAY_BLAS is auto") == 2
