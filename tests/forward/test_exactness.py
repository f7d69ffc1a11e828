"""How exact the machine is, is measured; and nothing that is not float32 passes as float32."""

import os
import subprocess
import sys

import mlx.core as mx
import pytest
import tiny

import assay
from assay import before_mlx
from assay.errors import AssayError, NotExact
from assay.forward import doctor, exactness
from assay.forward.arithmetic import Machine, machine, products_are_float32
from assay.forward.exactness import agree, difference


def test_float32_products_are_float32_unless_tf32_was_asked_for():
    """On every machine and device that runs these tests. MLX's default is TF32 on NVIDIA cards and Apple's M5."""
    assert machine().float32 or before_mlx.precision() == "tf32"


def tf32(x):
    """float32 numbers rounded to the ten bits of TF32, as a card would."""
    bits = x.view(mx.uint32)
    return ((bits + 0x1000) & 0xFFFFE000).view(mx.float32)


def test_the_probe_sees_tf32(monkeypatch):
    class Rounded:
        def __init__(self, x):
            self.x = x

        def __mul__(self, other):
            return Rounded(self.x * other)

        def __matmul__(self, other):
            return tf32(self.x) @ tf32(other.x)

    assert products_are_float32() == (before_mlx.precision() == "float32")
    eye = mx.eye
    monkeypatch.setattr(mx, "eye", lambda n: Rounded(eye(n)))
    monkeypatch.setattr(mx, "array_equal", lambda a, b: mx.all(a == b.x))
    assert not products_are_float32()


def test_the_doctor_refuses_rounded_products(monkeypatch):
    monkeypatch.setattr(doctor, "machine", lambda: Machine(rows=True, float32=False))
    with pytest.raises(NotExact, match="float32 products are float32"):
        tiny.lm("llama").doctor()


def test_tf32_that_was_asked_for_passes_and_is_recorded(monkeypatch):
    monkeypatch.setattr(doctor, "machine", lambda: Machine(rows=True, float32=False))
    monkeypatch.setenv("ASSAY_PRECISION", "tf32")
    lm = tiny.lm("llama")
    assert lm.doctor().ok
    assert lm.provenance()["precision"] == "tf32"


@pytest.mark.parametrize(
    ("env", "value"), [({}, "0"), ({"MLX_ENABLE_TF32": "1"}, "0"), ({"ASSAY_PRECISION": "tf32"}, "1")]
)
def test_mlx_is_told_before_its_first_product(env, value):
    code = "import assay, os; print(os.environ['MLX_ENABLE_TF32'])"
    clean = {k: v for k, v in os.environ.items() if k not in ("MLX_ENABLE_TF32", "ASSAY_PRECISION")}
    run = subprocess.run([sys.executable, "-c", code], env=clean | env, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == value
    assert ("set back to 0" in run.stderr) == ("MLX_ENABLE_TF32" in env)


def test_an_unknown_precision_is_an_error_at_load(monkeypatch):
    monkeypatch.setenv("ASSAY_PRECISION", "bf16")
    with pytest.raises(AssayError, match="ASSAY_PRECISION is float32 or tf32, got 'bf16'"):
        assay.load("llama_tiny4", doctor=False)


def test_agree_is_bit_for_bit_with_limit_zero():
    a = mx.array([1.0, 2.0])
    next_up = mx.array([1.0, 2.0 + 2**-22])
    assert agree(a, a, 0.0)
    assert not agree(a, next_up, 0.0)
    assert agree(a, next_up, 1e-6)
    assert not agree(a, next_up, 1e-8)
    assert not agree(a, a[None], 1.0)
    assert not agree(a, a.astype(mx.bfloat16), 1.0)
    assert not agree(mx.array([1.0, float("nan")]), mx.array([1.0, float("nan")]), 1.0)
    assert difference(a, next_up) == pytest.approx(2**-23)


def test_a_model_has_no_rounding_where_rows_hold(monkeypatch):
    monkeypatch.setattr(exactness, "machine", lambda: Machine(rows=True, float32=True))
    assert exactness.rounding(tiny.lm("gemma2").family, mx.float32) == 0.0
    assert not agree(mx.array([1.0]), mx.array([1.0 + 2**-23]))


@pytest.mark.parametrize("name", tiny.FAMILIES)
def test_elsewhere_it_is_measured_and_small(name, monkeypatch):
    """Above what one reading differs from another by, far below what a wrong norm, mask or rotation would do."""
    monkeypatch.setattr(exactness, "machine", lambda: Machine(rows=False, float32=True))
    assert exactness.LEAST[mx.float32] <= exactness.rounding(tiny.lm(name).family, mx.float32) < 1e-3


def test_rows_hold_with_the_reference_blas_only():
    """The probe says of this process what the library in use is known for."""
    from assay import blas

    if blas.in_use() == blas.REFERENCE and mx.default_device() == mx.cpu:
        assert machine().rows
    if blas.in_use() and blas.in_use().name in ("openblas", "mkl"):
        assert not machine().rows
