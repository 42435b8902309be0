"""Training: one compiled call an epoch, streams keyed by seed and epoch, resume, frozen leaves."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ctd_models_jax import checkpoint
from ctd_models_jax.config import TrainingConfig
from ctd_models_jax.training import NonFiniteLossError, fit, make_epoch, make_optimizer, start

CONFIG = TrainingConfig(epochs=40, batch_size=4, learning_rate=0.1, weight_decay=0.0, coordinated_dropout=0.0)
X = jax.random.normal(jax.random.key(0), (18, 3))
DATA = {"x": X, "y": X @ jnp.array([1.0, -2.0, 0.5]) + 3.0}
PARAMS = {"w": jnp.zeros(3), "b": jnp.zeros(())}
TRAINABLE = {"w": True, "b": True}


def loss(params, trials, *, key, hidden_share):
    del key, hidden_share
    return jnp.mean((trials["x"] @ params["w"] + params["b"] - trials["y"]) ** 2)


def train(**changes):
    arguments = {"config": CONFIG, "seed": 0} | changes
    return fit(
        jax.tree.map(jnp.array, PARAMS), arguments.pop("trainable", TRAINABLE), loss, DATA, DATA, **arguments
    )


def test_fit_finds_a_linear_map():
    best = train(config=TrainingConfig(**{**vars(CONFIG), "epochs": 150}))
    np.testing.assert_allclose(best["w"], [1.0, -2.0, 0.5], atol=0.02)
    np.testing.assert_allclose(best["b"], 3.0, atol=0.02)


def test_the_best_epoch_on_valid_is_returned():
    seen = []
    best = train(after_epoch=lambda state, metrics: seen.append(metrics["valid_loss"]))
    assert float(loss(best, DATA, key=None, hidden_share=0)) == pytest.approx(min(seen), rel=1e-5)


def test_frozen_leaves_stay_bit_identical():
    best = train(trainable={"w": True, "b": False})
    assert float(best["b"]) == 0.0
    assert np.abs(best["w"]).max() > 0.1


def test_an_epoch_sees_every_trial_once():
    """A loss that reports its batch: eight steps of one trial each add up to all eight."""

    def report(params, trials, *, key, hidden_share):
        del hidden_share
        return jnp.sum(trials) + 0 * jnp.sum(params) if key is not None else jnp.sum(params) * 0

    config = TrainingConfig(epochs=2, batch_size=1, coordinated_dropout=0.0)
    trials = 2.0 ** jnp.arange(8)
    optimizer = make_optimizer(config, True, 8)
    state = start(jnp.zeros(()), optimizer)
    epoch = make_epoch(report, optimizer, config, 8)
    _, metrics = epoch(state, trials, trials, jax.random.key(0))
    assert float(metrics["train_loss"]) * 8 == 2**8 - 1


def test_the_seed_decides_and_resume_changes_nothing(tmp_path):
    states = {}

    def keep(state, metrics):
        del metrics
        if int(state.epoch) == 15:
            checkpoint.save(tmp_path / "last.safetensors", state)
        states[int(state.epoch)] = jax.tree.map(np.array, state.params)

    whole = train(after_epoch=keep)
    resumed = train(resumed=lambda state: checkpoint.load(tmp_path / "last.safetensors", state))
    other = train(seed=1)
    np.testing.assert_array_equal(whole["w"], resumed["w"])
    assert not np.array_equal(whole["w"], other["w"])


def test_a_loss_that_is_no_number_stops_with_its_name():
    def broken(params, trials, *, key, hidden_share):
        return loss(params, trials, key=key, hidden_share=hidden_share) * jnp.where(
            params["b"] > 0.5, jnp.nan, 1.0
        )

    seen = []
    with pytest.raises(NonFiniteLossError, match=r"loss is not finite after epoch \d+.*learning_rate"):
        fit(
            PARAMS,
            TRAINABLE,
            broken,
            DATA,
            DATA,
            config=CONFIG,
            seed=0,
            after_epoch=lambda s, m: seen.append(m),
        )
    assert all(np.isfinite(list(m.values())).all() for m in seen)


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    path = tmp_path / "c.safetensors"
    checkpoint.save(path, {"w": jnp.zeros(3)})
    with pytest.raises(ValueError, match="holds another model"):
        checkpoint.load(path, {"v": jnp.zeros(3)})
    with pytest.raises(ValueError, match=r"\(3,\).*\(4,\)"):
        checkpoint.load(path, {"w": jnp.zeros(4)})
    path.write_bytes(b"damaged")
    with pytest.raises(ValueError, match="can't be read"):
        checkpoint.load(path, {"w": jnp.zeros(3)})
