"""Training: one compiled call an epoch, streams of seed and epoch, stages, seeds side by side, resume."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ctd_models_jax import checkpoint
from ctd_models_jax.training import Generated, NonFiniteLossError, Shuffled, ShuffledSets, Stage, fit
from ctd_models_jax.training.record import CHECKPOINT, METRICS

KEY = jax.random.key(0)
X = jax.random.normal(KEY, (18, 3))
DATA = {"x": X, "y": X @ jnp.array([1.0, -2.0, 0.5]) + 3.0}
STAGE = Stage(epochs=40, learning_rate=0.1)


def zeros():
    return {"w": jnp.zeros(3), "b": jnp.zeros(())}


def loss(params, batch, *, key, step):
    return {"squares": jnp.mean((batch["x"] @ params["w"] + params["b"] - batch["y"]) ** 2)}


def score(params, valid, *, key):
    return loss(params, valid, key=key, step=0)


def train(params=None, trainable=True, loss=loss, **changes):
    arguments = {"stages": [STAGE], "key": KEY, "train": DATA, "valid": DATA, "score": score} | changes
    return fit(params or zeros(), trainable, loss, Shuffled(18, 4), **arguments)


def assert_same(one, two):
    jax.tree.map(np.testing.assert_array_equal, one, two)


def test_fit_finds_a_linear_map():
    best = train(stages=[Stage(epochs=150, learning_rate=0.1)]).params
    np.testing.assert_allclose(best["w"], [1.0, -2.0, 0.5], atol=0.02)
    np.testing.assert_allclose(best["b"], 3.0, atol=0.02)


def test_the_best_epoch_on_valid_is_returned():
    seen = []
    result = train(after_epoch=lambda figures: seen.append(float(figures["valid/loss"])))
    assert float(score(result.params, DATA, key=KEY)["squares"]) == pytest.approx(min(seen), rel=1e-5)
    assert float(result.score) == pytest.approx(min(seen), rel=1e-6)
    assert float(score(result.last, DATA, key=KEY)["squares"]) == pytest.approx(seen[-1], rel=1e-5)


@pytest.mark.parametrize("how", ["flag", "stage"])
def test_frozen_leaves_keep_every_bit(how):
    """Minus zero too, which adding an update of zero would turn into zero."""
    start = zeros() | {"b": jnp.asarray(-0.0)}
    decaying = {"learning_rate": 0.1, "weight_decay": 0.1, "epochs": 5}
    if how == "flag":
        best = train(start, trainable={"w": True, "b": False}, stages=[Stage(**decaying)]).params
    else:
        best = train(start, stages=[Stage(**decaying, trained=["w"])]).params
    assert np.signbit(best["b"])
    assert float(best["b"]) == 0.0
    assert np.abs(best["w"]).max() > 0.1


def test_stages_are_fits_one_after_another():
    """The second stage begins with the best parameters of the first and trains what it names."""
    first, second = Stage(epochs=7, learning_rate=0.1, trained=["b"]), Stage(steps=10, learning_rate=0.05)
    alone = train(stages=[first]).params
    assert_same(alone["w"], jnp.zeros(3))
    seen = []
    both = train(stages=[first, second], after_epoch=seen.append)
    assert len(seen) == 7 + 3  # ten steps are three epochs of four
    frozen = train(stages=[first, Stage(epochs=3, learning_rate=1e-9, trained=["w"])]).params
    assert_same(frozen["b"], alone["b"])
    assert float(both.score) < float(train(stages=[first]).score)


def test_an_epoch_sees_every_trial_once_and_each_epoch_another_order():
    plan = Shuffled(8, 2).plan
    orders = [np.asarray(plan(jax.random.fold_in(KEY, epoch))) for epoch in range(2)]
    assert orders[0].shape == (4, 2)
    assert [sorted(order.ravel()) for order in orders] == [list(range(8))] * 2
    assert (orders[0] != orders[1]).any()
    assert Shuffled(3, 8).plan(KEY).shape == (1, 3)


def test_several_sets_are_balanced_and_none_is_left_out():
    batches = ShuffledSets((4, 10), 8)
    plan = np.asarray(batches.plan(KEY))
    assert plan.shape == (batches.steps, 2, 4) == (2, 2, 4)
    assert [sorted(row) for row in plan[:, 0]] == [list(range(4))] * 2
    assert len(set(plan[:, 1].ravel())) == 8
    small, large = batches.take([jnp.arange(4), 10 * jnp.arange(10)], jnp.asarray(plan[1]), KEY)
    np.testing.assert_array_equal(small, plan[1, 0])
    np.testing.assert_array_equal(large, 10 * plan[1, 1])
    assert (np.asarray(batches.plan(jax.random.key(1))) != plan).any()


def test_consecutive_steps_see_other_batches_and_other_noise():
    """Within one compiled call; a key that is traced once would give every step of a call the same."""
    seen = []

    def report(params, batch, *, key, step):
        draws = jnp.stack([batch, jax.random.normal(key), step * 1.0])
        jax.debug.callback(lambda values: seen.append(np.asarray(values)), draws)
        return {"nothing": 0.0 * params["b"]}

    batches = Generated(jax.random.normal, steps=5)
    stages = [Stage(epochs=2), Stage(steps=5)]
    fit(zeros(), True, report, batches, stages=stages, key=KEY)
    jax.effects_barrier()
    batch, noise, step = np.array(sorted(seen, key=lambda values: values[2])).T
    np.testing.assert_array_equal(step, np.arange(15))
    assert len(set(batch)) == len(set(noise)) == 15
    assert not set(batch) & set(noise)


def test_an_epoch_compiles_once():
    traces = []

    def counted(params, batch, *, key, step):
        traces.append(step)
        return loss(params, batch, key=key, step=step)

    train(loss=counted, stages=[Stage(epochs=5)])
    assert len(traces) == 1


def test_eight_seeds_side_by_side_agree_with_eight_fits(tmp_path):
    """As one batch and in turn."""

    def initialize(key):
        return {"w": jax.random.normal(key, (3,)), "b": jnp.zeros(())}

    def noisy(params, batch, *, key, step):
        return loss(params, batch | {"y": batch["y"] + jax.random.normal(key)}, key=key, step=step)

    keys = jax.random.split(KEY, 8)
    settings = {"loss": noisy, "stages": [Stage(epochs=5, learning_rate=0.1)]}
    start = jax.vmap(initialize)(keys)
    alone = [train(initialize(key), key=key, **settings) for key in keys]
    for batch in (True, False):
        together = train(start, key=keys, folder=tmp_path, batch_seeds=batch, **settings)
        assert together.score.shape == (8,)
        for index, result in enumerate(alone):
            for name, value in result.params.items():
                np.testing.assert_allclose(together.params[name][index], value, rtol=2e-5, atol=1e-6)
    with (tmp_path / METRICS).open() as file:
        rows = list(csv.DictReader(file))
    assert [row["seed"] for row in rows[:8]] == list("01234567")
    assert len(rows) == 8 * 5


def test_hyperparameters_vary_over_seeds():
    """A learning rate by its factor, a weight of the loss as a leaf that is held fixed."""

    def weighted(params, batch, *, key, step):
        return loss(params, batch, key=key, step=step) | {
            "decay": params["weight"] * jnp.sum(params["w"] ** 2)
        }

    rates, weights = [1.0, 0.5], [0.0, 0.3]
    start = {"w": jnp.zeros((2, 3)), "b": jnp.zeros(2), "weight": jnp.array(weights)}
    flags, keys = {"w": True, "b": True, "weight": False}, jnp.stack([KEY, KEY])
    stages = [Stage(epochs=5, learning_rate=0.1, weight_decay=0.1)]
    together = train(start, flags, weighted, key=keys, rates=jnp.array(rates), stages=stages)
    for index, (rate, weight) in enumerate(zip(rates, weights, strict=True)):
        one = [Stage(epochs=5, learning_rate=0.1 * rate, weight_decay=0.1)]
        alone = train(zeros() | {"weight": jnp.array(weight)}, flags, weighted, stages=one)
        np.testing.assert_allclose(together.params["w"][index], alone.params["w"], rtol=1e-4)
        assert float(together.params["weight"][index]) == np.float32(weight)


def test_the_seed_decides_and_an_interruption_changes_nothing(tmp_path):
    stages = [Stage(epochs=6, learning_rate=0.1, trained=["w"]), Stage(epochs=9, learning_rate=0.05)]
    whole = train(stages=stages, folder=tmp_path, checkpoint_every=4)
    lines = (tmp_path / METRICS).read_text()
    assert len(lines.splitlines()) == 1 + 15

    class InterruptedFitError(Exception):
        pass

    for stop in (5, 12):  # in the first stage, and in the second

        def interrupt(figures, seen=[], stop=stop):  # noqa: B006
            seen.append(figures)
            if len(seen) == stop:
                raise InterruptedFitError

        folder = tmp_path / str(stop)
        folder.mkdir()
        with pytest.raises(InterruptedFitError):
            train(stages=stages, folder=folder, checkpoint_every=4, after_epoch=interrupt)
        resumed = train(stages=stages, folder=folder, checkpoint_every=4, resume=True)
        assert_same(whole.params, resumed.params)
        assert_same(whole.last, resumed.last)
        assert (folder / METRICS).read_text() == lines
    assert not np.array_equal(whole.params["w"], train(stages=stages, key=jax.random.key(1)).params["w"])


def test_resuming_a_finished_fit_gives_its_result(tmp_path):
    whole = train(folder=tmp_path)
    again = train(folder=tmp_path, resume=True, after_epoch=lambda figures: pytest.fail("trained again"))
    assert_same(whole.params, again.params)


KILLED = """
import sys, time, pathlib, jax, jax.numpy as jnp
from ctd_models_jax.training import Shuffled, ShuffledSets, Stage, fit
x = jnp.arange(12.0) / 12
def loss(params, batch, *, key, step):
    error = params["w"] * batch + params["b"] - 3 * batch - jax.random.normal(key)
    return {"squares": jnp.mean(error**2)}
folder = pathlib.Path(sys.argv[1])
wait = lambda figures: time.sleep(float(sys.argv[2]))
params = {"w": jnp.zeros(()), "b": jnp.zeros(())}
result = fit(params, True, loss, Shuffled(12, 5), stages=[Stage(epochs=30)], key=jax.random.key(3), train=x,
             folder=folder, checkpoint_every=1, resume=True, after_epoch=wait)
print(repr(float(result.params["w"])), repr(float(result.params["b"])))
"""


def test_a_killed_process_resumes_to_the_same_weights(tmp_path):
    def command(name, seconds):
        (tmp_path / name).mkdir(exist_ok=True)
        return [sys.executable, "-c", KILLED, str(tmp_path / name), str(seconds)]

    def run(name):
        return subprocess.run(command(name, 0), check=True, capture_output=True, text=True).stdout

    victim = subprocess.Popen(command("killed", 0.2), stdout=subprocess.DEVNULL)
    while not (tmp_path / "killed" / CHECKPOINT).exists() and victim.poll() is None:
        time.sleep(0.05)
    time.sleep(0.5)
    victim.kill()
    assert victim.wait() < 0
    assert 0 < checkpoint.load_notes(tmp_path / "killed" / CHECKPOINT)["epoch"] < 30
    assert run("killed") == run("whole")


@pytest.mark.parametrize("what", ["term", "gradient", "score"])
def test_what_is_no_number_stops_by_name_and_leaves_the_last_good_state(tmp_path, what):
    def broken(params, batch, *, key, step):
        bad = jnp.where(step >= 42, jnp.nan if what == "term" else 0.0, 1.0)
        terms = loss(params, batch, key=key, step=step)
        if what == "gradient":  # finite itself, but its slope is not at zero
            return terms | {"root": jnp.sqrt(jnp.where(step >= 42, params["b"] * 0.0, 1.0))}
        return terms | {"penalty": bad * (what == "term") + params["b"] ** 2}

    def broken_score(params, valid, *, key):
        return {"half": score(params, valid, key=key)["squares"] / jnp.where(params["b"] > 0.5, 0.0, 1.0)}

    kept = r".*learning rate.*0\.1.*kept in .*last\.safe"
    words = {
        "term": r"train/penalty is not finite at step 3 of epoch 11 of stage 'training'",
        "gradient": r"train/gradient_norm is not finite at step 3 of epoch 11",
        "score": r"valid/half is not finite at step 4 of epoch \d+",
    }
    changes = {"score": broken_score} if what == "score" else {}
    with pytest.raises(NonFiniteLossError, match=words[what] + kept):
        train(loss=broken, folder=tmp_path, **changes)
    stored = checkpoint.load_file(tmp_path / CHECKPOINT)
    assert all(np.isfinite(values).all() for name, values in stored.items() if "best_score" not in name)
    done = checkpoint.load_notes(tmp_path / CHECKPOINT)["epoch"]
    assert done == stored[".epoch"] == 10 or what == "score"
    assert len((tmp_path / METRICS).read_text().splitlines()) == 1 + done


def test_one_broken_seed_is_named():
    def broken(params, batch, *, key, step):
        return loss(params, batch, key=key, step=step) | {"trap": params["trap"]}

    params = {"w": jnp.zeros((3, 3)), "b": jnp.zeros(3), "trap": jnp.array([0.0, jnp.inf, 0.0])}
    flags = {"w": True, "b": True, "trap": False}
    with pytest.raises(NonFiniteLossError, match="train/trap is not finite for seed 1 at step 1 of epoch 1"):
        train(params, flags, broken, key=jax.random.split(KEY, 3))


def test_schedules_are_the_published_ones():
    rates = Stage(steps=100, learning_rate=0.02, schedule="exponential", decay=0.99).learning_rates(10)
    assert float(rates(50)) == pytest.approx(0.02 * 0.99**50, rel=1e-5)
    rates = Stage(steps=100, learning_rate=1.0, warm_up=0.2, first=0.1, final=0.01).learning_rates(10)
    half = 0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * 40 / 80))
    found = [float(rates(step)) for step in (0, 10, 20, 60, 100)]
    np.testing.assert_allclose(found, [0.1, 0.55, 1.0, half, 0.01], rtol=1e-5)
    assert float(
        Stage(steps=9, learning_rate=0.3, schedule="constant").learning_rates(1)(5)
    ) == pytest.approx(0.3)


@pytest.mark.parametrize(("clip_by", "clipped"), [("global_norm", [0.6, 0.8]), ("element", [1.0, 1.0])])
def test_the_first_update_is_adams_with_a_clipped_gradient(clip_by, clipped):
    stage = Stage(
        steps=1,
        learning_rate=0.5,
        schedule="constant",
        epsilon=0.1,
        clip=1.0,
        clip_by=clip_by,
        weight_decay=0.2,
    )
    optimizer, weights = stage.optimizer(1), jnp.array([2.0, -1.0])
    updates, _ = optimizer.update(jnp.array([3.0, 4.0]), optimizer.init(weights), weights)
    gradient = np.array(clipped)
    expected = -0.5 * (gradient / (np.abs(gradient) + 0.1) + 0.2 * np.array([2.0, -1.0]))
    np.testing.assert_allclose(updates, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "either epochs or steps"),
        ({"epochs": 2, "steps": 3}, "either epochs or steps"),
        ({"epochs": 0}, "epochs must be above 0"),
        ({"epochs": 1, "schedule": "cosin"}, "schedule must be one of cosine, exponential, constant"),
        ({"epochs": 1, "clip_by": "norm"}, "clip_by must be one of"),
        ({"epochs": 1, "trained": ["v*"]}, r"no parameter is v\*; there are b, w"),
        ({"epochs": 1, "trained": ["b"]}, "b are held fixed"),
    ],
)
def test_a_wrong_stage_says_so(settings, words):
    with pytest.raises(ValueError, match=words):
        train(trainable={"w": True, "b": False}, stages=[Stage(**settings)])


def test_parts_that_are_no_arrays_come_back_as_they_were():
    """An activation function among the parameters, as Equinox's modules hold them."""

    def curved(params, batch, *, key, step):
        return loss({"w": params["w"], "b": params["phi"](params["b"])}, batch, key=key, step=step)

    flags = {"w": True, "b": True, "phi": False}
    result = train(zeros() | {"phi": jnp.tanh}, flags, curved, score=None)
    assert result.params["phi"] is jnp.tanh
    assert np.isnan(result.score)
    assert_same(result.params["w"], result.last["w"])


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_who_may_read_a_checkpoint_is_what_the_umask_says(tmp_path):
    before = os.umask(0o022)
    try:
        checkpoint.save(tmp_path / "c.safetensors", {"w": jnp.zeros(3)})
    finally:
        os.umask(before)
    assert (tmp_path / "c.safetensors").stat().st_mode & 0o777 == 0o644


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    path = tmp_path / "c.safetensors"
    checkpoint.save(path, {"w": jnp.zeros(3)}, {"epoch": 4})
    assert checkpoint.load_notes(path) == {"epoch": 4}
    with pytest.raises(ValueError, match="holds another model"):
        checkpoint.load(path, {"v": jnp.zeros(3)})
    with pytest.raises(ValueError, match=r"\(3,\).*\(4,\)"):
        checkpoint.load(path, {"w": jnp.zeros(4)})
    path.write_bytes(b"damaged")
    for read in (lambda: checkpoint.load(path, {"w": jnp.zeros(3)}), lambda: checkpoint.load_notes(path)):
        with pytest.raises(ValueError, match="can't be read"):
            read()
