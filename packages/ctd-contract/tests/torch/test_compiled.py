import os

import numpy as np
import pytest
import torch

from ctd_contract.torch.compiled import blas, jit
from ctd_contract.torch.compiled.jit import compiled
from ctd_contract.torch.compiled.products import multiply
from ctd_contract.torch.compiled.sigmoid import sigmoid
from ctd_contract.torch.sequences import gru
from ctd_contract.torch.sequences.blocks import run_jobs
from ctd_contract.torch.sequences.compiled_block import compilable


@compiled
def _sigmoids(x, out):
    for i in range(len(x)):
        out[i] = sigmoid(x[i])


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 3e-7), (np.float64, 1e-15)])
def test_sigmoid(dtype, tolerance):
    x = np.concatenate([np.linspace(-40, 40, 80_001), [-1e30, 1e30, -np.inf, np.inf]]).astype(dtype)
    found = np.empty_like(x)
    _sigmoids(x, found)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(found, 1 / (1 + np.exp(-x.astype(float))), rtol=0, atol=tolerance)
    assert found.min() >= 0
    assert found.max() <= 1
    _sigmoids(np.array([np.nan], dtype), found)
    assert np.isnan(found[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("turn_a", [False, True])
@pytest.mark.parametrize("turn_b", [False, True])
@pytest.mark.parametrize(("rows", "inner", "columns"), [(5, 7, 3), (1, 4, 6), (6, 1, 1), (4, 0, 3)])
def test_multiply_takes_parts_of_arrays(dtype, add, turn_a, turn_b, rows, inner, columns):
    rng = np.random.default_rng(0)

    def part(rows, columns):
        return rng.normal(size=(rows, columns + 3)).astype(dtype)[:, 2 : 2 + columns]

    a, b, out = part(rows, inner), part(inner, columns), part(rows, columns)
    expected = a.astype(float) @ b + (out if add else 0)
    left = part(inner, rows) if turn_a else a
    right = part(columns, inner) if turn_b else b
    left[...], right[...] = (a.T if turn_a else a), (b.T if turn_b else b)
    multiply(out, left, right, turn_a, turn_b, add)
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-5 if dtype == np.float32 else 1e-13)


def test_a_build_of_torch_without_a_blas_that_shows_uses_its_operations(monkeypatch):
    def missing(path):
        raise OSError(path)

    monkeypatch.setattr(blas.ctypes, "CDLL", missing)
    blas.addresses.cache_clear()
    try:
        assert blas.addresses() is None
        assert not compilable(torch.zeros(1))
    finally:
        monkeypatch.undo()
        blas.addresses.cache_clear()
    assert compilable(torch.zeros(1)) == (blas.addresses() is not None)


def test_single_precision_is_close_to_double():
    stream = torch.Generator().manual_seed(0)
    shapes = [(40, 30, 5), (40, 16), (48, 5), (48, 16), (48,), (48,)]
    tensors = [torch.randn(shape, generator=stream, dtype=torch.float64) / 3 for shape in shapes]
    both = []
    for dtype in (torch.float64, torch.float32):
        leaves = [tensor.to(dtype).requires_grad_() for tensor in tensors]
        states = gru(*leaves, reset="before", clip=0.9)
        both.append([states, *torch.autograd.grad((states**2).sum(), leaves)])
    for double, single in zip(*both, strict=True):
        torch.testing.assert_close(single, double.to(single.dtype), rtol=1e-4, atol=1e-5)


def test_blocks_that_cannot_be_numbers_say_so():
    """A value that is not a number reaches the states of its own trial, from its bin on, and no other."""
    inputs, initial, weights = torch.randn(4, 6, 2), torch.zeros(4, 3), [torch.randn(9, 2), torch.randn(9, 3)]
    inputs[1, 2] = torch.nan
    states = gru(inputs, initial, *weights, None, None, reset="before", clip=5.0)
    assert states[1, 2:].isnan().all()
    assert not states[1, :2].isnan().any()
    assert not states[[0, 2, 3]].isnan().any()


def test_code_of_a_changed_module_is_forgotten(tmp_path):
    source, kept = tmp_path / "loops.py", tmp_path / "__pycache__"
    source.write_text("")
    kept.mkdir()
    names = ["loops.run-3.nbi", "loops.walk-9.nbi", "others.run-3.nbi"]
    for age, name in zip((-60, 60, -60), names, strict=True):
        (kept / name).write_text("")
        changed = max(source.stat().st_mtime, jit._newest(jit.Path(jit.__file__).parent)) + age
        os.utime(kept / name, (changed, changed))
    jit._forget(kept, source)
    assert sorted(path.name for path in kept.iterdir()) == ["loops.walk-9.nbi", "others.run-3.nbi"]


def test_loops_run_where_nothing_can_be_kept(monkeypatch):
    def njit(cache=False, **options):
        if cache:
            raise RuntimeError("no locator available")
        return own(**options)

    own = jit.njit
    monkeypatch.setattr(jit, "njit", njit)
    assert compiled(lambda x: x + 1)(2) == 3


def test_every_thread_of_a_pool_takes_part(two_threads):
    import threading

    together = threading.Barrier(2, timeout=20)
    assert sorted(run_jobs(lambda _: together.wait(), [0, 1], torch.device("cpu"))) == [0, 1]
