"""The chain from states to rates."""

import math

import numpy as np
import pytest

from ctd_contract.readout import Layer, Readout


def test_rates_by_hand():
    readout = Readout([Layer([[1.0, 1.0]]), Layer([[1.0], [0.0]], [0.0, math.log(3)], "exp")], scale=100.0)
    rates = readout.evaluate([[math.log(2), 0.0], [0.0, 0.0]])
    np.testing.assert_allclose(rates, [[200.0, 300.0], [100.0, 300.0]])
    np.testing.assert_allclose(readout.factors([[2.0, 3.0]]), [[5.0]])
    np.testing.assert_allclose(readout.factors([[0.0, 0.0]], layer=1), [[1.0, 3.0]])


def test_leading_axes_are_free():
    readout = Readout([Layer(np.eye(2), None, "softplus")])
    states = np.random.default_rng(0).normal(size=(3, 4, 2))
    np.testing.assert_allclose(readout.evaluate(states), np.log1p(np.exp(states)))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Readout([]), "one layer or more"),
        (lambda: Readout([Layer(np.eye(2)), Layer(np.eye(3))]), "a layer that takes 2 values"),
        (lambda: Readout([Layer(np.eye(2))], scale=0.0), "scale"),
        (lambda: Layer(np.eye(2), np.zeros(3)), r"bias: expected axes \(out=2\)"),
        (lambda: Layer(np.eye(2), None, "log"), "unknown nonlinearity 'log'"),
        (
            lambda: Readout([Layer(np.eye(2))]).evaluate(np.zeros((4, 3))),
            r"states with axes \(..., state=2\)",
        ),
        (lambda: Readout([Layer(np.eye(2))]).factors(np.zeros(2), layer=1), "a layer from 0 to 0"),
        (lambda: Readout.opaque().evaluate(np.zeros(2)), "opaque readout can't be evaluated"),
    ],
)
def test_wrong_readouts_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_opaque_readout_knows_that_it_is():
    assert Readout.opaque().is_opaque
    assert not Readout([Layer(np.eye(2))]).is_opaque
