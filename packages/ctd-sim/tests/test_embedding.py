"""Embeddings and the moments that standardise them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctd_sim import LinearConfig, PermutedConfig, SmoothConfig
from ctd_sim.moments import Moments, moments
from ctd_sim.random_streams import BLOCK_TRIALS, blocks, stream

STATES = np.random.default_rng(0).standard_normal((6, 9, 5)).astype(np.float32)
UNIT = Moments(np.zeros(5), np.ones(5), np.ones(5))


@given(st.integers(1, 12), st.integers(1, 60))
def test_permuted_copies_are_spread_evenly(n_states, n_neurons):
    index = PermutedConfig().build(n_states, n_neurons, np.random.default_rng(0), None).index
    assert len(index) == n_neurons
    for start in range(0, n_neurons, n_states):
        part = index[start : start + n_states]
        assert len(set(part)) == len(part)


@pytest.mark.parametrize("config", [PermutedConfig(), LinearConfig(), SmoothConfig(features=12)])
def test_layers_say_what_the_embedding_does(config):
    embedding = config.build(5, 8, np.random.default_rng(1), UNIT)
    values = STATES.astype(float)
    for layer in embedding.layers:
        values = layer(values)
    np.testing.assert_allclose(embedding(STATES), values, rtol=1e-12, atol=1e-14)
    assert embedding.layers[-1].nonlinearity == "identity"


def test_linear_weights_have_the_stated_variance():
    weight = LinearConfig().build(50, 4000, np.random.default_rng(2), None).weight
    assert weight.var() * 50 == pytest.approx(1, rel=0.02)


def test_smooth_embedding_sees_standardised_states():
    """Moving and stretching the states changes nothing, once their moments say so."""
    mean, std = np.arange(5.0), np.array([0.1, 1, 3, 10, 0.5])
    config = SmoothConfig(features=30)
    plain = config.build(5, 8, np.random.default_rng(3), UNIT)
    moved = config.build(5, 8, np.random.default_rng(3), Moments(mean, std, mean))
    np.testing.assert_allclose(moved(STATES * std + mean), plain(STATES), rtol=1e-9, atol=1e-9)


def test_smooth_embedding_is_curved_by_curvature():
    """The best linear map explains nearly all at a small curvature and less at a large one."""

    def left_over(curvature):
        states = np.random.default_rng(4).standard_normal((1, 4000, 5))
        embedding = SmoothConfig(features=64, curvature=curvature).build(
            5, 20, np.random.default_rng(5), UNIT
        )
        a, x = embedding(states)[0], np.hstack([states[0], np.ones((4000, 1))])
        residual = a - x @ np.linalg.lstsq(x, a, rcond=None)[0]
        return residual.var() / a.var(axis=0).mean()

    assert left_over(0.01) < 1e-4
    assert 0.02 < left_over(1.0) < left_over(4.0)


def test_moments_over_counted_bins_only():
    rng = np.random.default_rng(6)
    values = rng.standard_normal((10, 7, 3)) * [1, 5, 0] + [1e6, 0, 4]
    counted = rng.random((10, 7)) < 0.6
    parts = moments((values[i : i + 3], counted[i : i + 3]) for i in range(0, 10, 3))
    chosen = values[counted]
    np.testing.assert_allclose(parts.mean, chosen.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(parts.std, chosen.std(axis=0), rtol=1e-8)
    np.testing.assert_array_equal(parts.largest, chosen.max(axis=0))
    np.testing.assert_allclose(parts.pooled(), (chosen.mean(), chosen.std()), rtol=1e-10)


def test_moments_of_nothing_are_refused():
    with pytest.raises(ValueError, match="no bin"):
        moments([(np.ones((2, 3, 1)), np.zeros((2, 3), bool))])


@given(st.integers(0, 1000), st.integers(1, 400))
def test_chunks_cover_all_trials_and_never_cross_a_block(n_trials, chunk):
    rows = []
    for block, part in blocks(n_trials, chunk):
        assert 0 < part.stop - part.start <= chunk
        assert part.start // BLOCK_TRIALS == block == (part.stop - 1) // BLOCK_TRIALS
        rows += range(part.start, part.stop)
    assert rows == list(range(n_trials))


def test_streams_differ_by_seed_name_and_block():
    draws = {stream(*key).integers(2**62) for key in [(0, "a", 0), (1, "a", 0), (0, "b", 0), (0, "a", 1)]}
    assert len(draws) == 4
    assert stream(7, "a", 3).integers(2**62) == stream(7, "a", 3).integers(2**62)
    with pytest.raises(ValueError, match="seed"):
        stream(-1, "a")
