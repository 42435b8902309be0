"""Losses and gradients on a GPU are those of the CPU, to what single precision leaves."""

from __future__ import annotations

import equinox as eqx
import jax
import numpy as np
import pytest
from toy_parameters import random_parameters

from ctd_models_jax.accelerator import has_cuda_driver
from ctd_models_jax.jslds import JSLDS
from ctd_models_jax.lfads_jslds import LFADSJSLDS, Objective
from ctd_models_jax.lfads_jslds.config import ControllerConfig, LFADSJSLDSConfig
from ctd_models_jax.lfads_jslds.config import EncoderConfig as GeneratorsEncoderConfig
from ctd_models_jax.mrsds import MRSDS, Trials
from ctd_models_jax.mrsds.config import DynamicsConfig, EncoderConfig, MRSDSConfig
from ctd_models_jax.tasks import TASKS, draw

REGIONS, HELD_IN = (0, 1, 0, 0, 1, 0), (True, True, True, False, True, True)
KEY = jax.random.key(1)


def spikes():
    rng = np.random.default_rng(0)
    valid = (np.arange(8) < np.array([8, 5, 8, 7])[:, None]).astype(np.float32)
    scored = np.repeat(valid[..., None], len(REGIONS), -1)
    values = rng.poisson(1.0, scored.shape).astype(np.float32) * scored
    return Trials(values, valid, valid, scored, rng.normal(size=(4, 8, 2)).astype(np.float32))


def mrsds(posterior, kind):
    settings = MRSDSConfig(
        states=[2, 1],
        modes=2,
        posterior=posterior,
        overshooting=2,
        dynamics=DynamicsConfig(layers=[4], activation="tanh", noise="full"),
        encoder=EncoderConfig(kind=kind, units=4, embedding=[3], layers=[], heads=2, head_size=3),
    )
    model = MRSDS(REGIONS, HELD_IN, 2, "poisson", settings)
    return random_parameters(model), lambda params, trials: model.loss(params, trials, key=KEY), spikes()


def lfads_jslds():
    settings = LFADSJSLDSConfig(
        units=4, factors=3, encoder=GeneratorsEncoderConfig(units=3), controller=ControllerConfig(units=3)
    )
    model = LFADSJSLDS((HELD_IN,), 2, "poisson", settings)
    ones = np.ones(len(REGIONS), np.float32)
    params, _ = eqx.filter_jit(model.initialize)(KEY, [ones], [ones])
    loss = Objective(model, coordinated_dropout=0.3).loss
    return params, lambda params, trials: loss(params, [trials], key=KEY), spikes()


def jslds():
    model = JSLDS(inputs=6, outputs=3, units=8)
    params, _ = eqx.filter_jit(model.initialize)(KEY)
    return params, lambda params, trials: model.loss(params, trials), draw(TASKS["bit_memory"](), KEY, 4)


MADE = {
    "structured": lambda: mrsds("structured", "gru"),
    "mean_field": lambda: mrsds("mean_field", "transformer"),
    "chain": lambda: mrsds("chain", "gru"),
    "laplace": lambda: mrsds("laplace", "gru"),
    "lfads_jslds": lfads_jslds,
    "jslds": jslds,
}


def values_on(kind, params, loss, trials):
    """Terms of the loss, and the gradient of their sum, computed on the first device of a kind."""

    def total(params, trials):
        terms = loss(params, trials)
        return sum(terms.values()), terms

    device = jax.devices(kind)[0]
    with jax.default_device(device), jax.default_matmul_precision("highest"):
        given = eqx.filter_shard((params, trials), jax.sharding.SingleDeviceSharding(device))
        (_, terms), gradient = eqx.filter_jit(eqx.filter_value_and_grad(total, has_aux=True))(*given)
        assert {where.platform for term in terms.values() for where in term.devices()} == {device.platform}
        return jax.tree.map(np.asarray, (terms, jax.tree.leaves(gradient)))


def assert_alike(kind, name):
    params, loss, trials = MADE[name]()
    (terms, gradient), (expected, slopes) = (values_on(each, params, loss, trials) for each in (kind, "cpu"))
    assert set(terms) == set(expected)
    for term, value in expected.items():
        np.testing.assert_allclose(terms[term], value, rtol=1e-3)
    for found, slope in zip(gradient, slopes, strict=True):
        np.testing.assert_allclose(found, slope, rtol=1e-2, atol=1e-3 * max(np.abs(slope).max(), 1e-3))


@pytest.mark.gpu
@pytest.mark.skipif(not has_cuda_driver(), reason="no NVIDIA driver on this machine")
@pytest.mark.parametrize("name", MADE)
def test_a_gpu_computes_what_the_cpu_does(name):
    assert_alike("cuda", name)
