"""The linear system of several regions: its posterior against one big Gaussian, its fit, its file."""

import numpy as np
import pytest

import ctd_contract as cc
from ctd_analysis.analyse import AnalysisConfig, analyse
from ctd_analysis.baselines import LinearDynamicsConfig, write_prediction
from ctd_analysis.baselines.linear_system import (
    LinearSystem,
    Trials,
    expectation_maximisation,
    from_latents,
    infer,
    states,
)
from ctd_analysis.baselines.regression import fit_linear
from ctd_contract.testing import make_recording

STATE_REGIONS = np.array([0, 0, 1])


def make_system(seed=0, n_neurons=8, noise=0.5) -> LinearSystem:
    """Two regions of 2 and 1 states, half of the neurons each, one input."""
    random = np.random.default_rng(seed)
    neuron_regions = np.arange(n_neurons) * 2 // n_neurons
    emission = random.standard_normal((n_neurons, 3)) * (neuron_regions[:, None] == STATE_REGIONS)
    turn = np.array([[0.8, -0.5, 0.0], [0.5, 0.8, 0.3], [0.2, 0.0, 0.7]])
    return LinearSystem(
        transition=turn,
        drive=random.standard_normal((3, 2)),
        process=0.1 * np.diag([1.0, 2.0, 0.5]) + 0.02,
        emission=emission,
        offset=random.standard_normal(n_neurons),
        noise=noise * (0.5 + random.random(n_neurons)),
        start=np.array([1.0, -1.0, 0.5]),
        start_covariance=0.3 * np.eye(3) + 0.1,
    )


def draw(system, n_trials=100, n_bins=20, seed=0):
    random = np.random.default_rng(seed)
    inputs = random.standard_normal((n_trials, n_bins, 1))
    x = random.multivariate_normal(system.start, system.start_covariance, n_trials)
    latent = np.empty((n_trials, n_bins, 3))
    for k in range(n_bins):
        if k:
            noise = random.multivariate_normal(np.zeros(3), system.process, n_trials)
            x = x @ system.transition.T + system.push(inputs[:, k]) + noise
        latent[:, k] = x
    activity = latent @ system.emission.T + system.offset
    activity += np.sqrt(system.noise) * random.standard_normal(activity.shape)
    return latent, Trials(activity, inputs, np.full(n_trials, n_bins))


def dense(system, inputs):
    """Mean and covariance of all states of one trial, bins one after the other, built from nothing else."""
    n_bins = len(inputs)
    mean, covariance = [system.start], np.zeros((n_bins, n_bins, 3, 3))
    covariance[0, 0] = system.start_covariance
    for k in range(1, n_bins):
        mean.append(system.transition @ mean[-1] + system.push(inputs[k]))
        for j in range(k):
            covariance[k, j] = system.transition @ covariance[k - 1, j]
            covariance[j, k] = covariance[k, j].T
        covariance[k, k] = system.transition @ covariance[k - 1, k - 1] @ system.transition.T + system.process
    return np.concatenate(mean), covariance.transpose(0, 2, 1, 3).reshape(3 * n_bins, 3 * n_bins)


def conditioned(system, activity, inputs, n_seen):
    """Mean and covariance of all states given the first bins of a trial, and these bins' log likelihood."""
    mean, covariance = dense(system, inputs)
    emission = np.kron(np.eye(len(inputs)), system.emission)[: n_seen * len(system.noise)]
    total = emission @ covariance @ emission.T + np.diag(np.tile(system.noise, n_seen))
    surprise = activity[:n_seen].ravel() - np.tile(system.offset, n_seen) - emission @ mean
    gain = np.linalg.solve(total, emission @ covariance).T
    likelihood = -0.5 * (
        surprise @ np.linalg.solve(total, surprise) + np.linalg.slogdet(2 * np.pi * total)[1]
    )
    return mean + gain @ surprise, covariance - gain @ emission @ covariance, likelihood


def test_the_posterior_is_that_of_one_big_gaussian():
    system = make_system()
    _, trials = draw(system, n_trials=3, n_bins=6)
    posterior = infer(system, trials.activity, trials.inputs)
    for trial in range(3):
        mean, covariance, _ = conditioned(system, trials.activity[trial], trials.inputs[trial], 6)
        np.testing.assert_allclose(posterior.smoothed[trial].ravel(), mean, atol=1e-9)
        blocks = covariance.reshape(6, 3, 6, 3).transpose(0, 2, 1, 3)
        np.testing.assert_allclose(posterior.covariance, blocks[np.arange(6), np.arange(6)], atol=1e-9)
        np.testing.assert_allclose(posterior.lagged, blocks[np.arange(1, 6), np.arange(5)], atol=1e-9)


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_forecasts_know_the_bins_so_far_back_and_the_inputs_since(ahead):
    system = make_system(1)
    _, trials = draw(system, n_trials=2, n_bins=6)
    lengths = np.array([6, 4])
    found = states(system, Trials(trials.activity, trials.inputs, lengths), ahead=ahead)
    for trial, length in enumerate(lengths):
        for k in range(length):
            mean, _, _ = conditioned(
                system, trials.activity[trial], trials.inputs[trial], max(k - ahead + 1, 0)
            )
            np.testing.assert_allclose(found[trial, k], mean.reshape(6, 3)[k], atol=1e-9)
        assert not found[trial, length:].any()


def likelihood(system, trials) -> float:
    parts = (
        conditioned(system, y[:n], u[:n], n)[2]
        for y, u, n in zip(trials.activity, trials.inputs, trials.lengths, strict=True)
    )
    return sum(parts)


def test_every_step_raises_the_likelihood_and_regions_keep_their_neurons():
    true = make_system(2)
    latent, trials = draw(true, n_trials=25, n_bins=8)
    trials = Trials(trials.activity, trials.inputs, np.random.default_rng(0).integers(5, 9, 25))
    neurons = np.arange(8) * 2 // 8
    blurred = latent + np.random.default_rng(1).standard_normal(latent.shape)
    system = from_latents(blurred, trials, STATE_REGIONS, neurons)
    levels = [likelihood(system, trials)]
    for _ in range(6):
        system = expectation_maximisation(system, trials, STATE_REGIONS, neurons, 1)
        levels.append(likelihood(system, trials))
    assert (np.diff(levels) > 0).all()
    assert levels[-1] > likelihood(true, trials) - 30
    assert np.array_equal(system.emission != 0, neurons[:, None] == STATE_REGIONS)


def test_linear_regressions_are_least_squares_of_what_was_recorded():
    random = np.random.default_rng(0)
    x, weight = random.normal(2.0, 3.0, (60, 2)), random.standard_normal((2, 3))
    y = x @ weight + 1.0 + 0.1 * random.standard_normal((60, 3))
    recorded = np.ones(y.shape, bool)
    recorded[:20, 1] = False
    fitted = fit_linear(x, np.where(recorded, y, 99.0), recorded, 1e-12)
    for target in range(3):
        rows = recorded[:, target]
        slow = np.linalg.lstsq(np.column_stack([x, np.ones(60)])[rows], y[rows, target], rcond=None)[0]
        np.testing.assert_allclose([*fitted.weight[target], fitted.intercept[target]], slow, atol=1e-6)
    shrunk = fit_linear(x, y, np.ones(y.shape, bool), 1.0)
    np.testing.assert_allclose(shrunk(x).mean(axis=0), y.mean(axis=0))
    assert (np.linalg.norm(shrunk.weight, axis=1) < 0.8 * np.linalg.norm(fitted.weight, axis=1)).all()


def record(path, trials, latent, system):
    n_trials, n_bins, n_neurons = trials.activity.shape
    header = {
        "trial": n_trials,
        "time": n_bins,
        "bin_width_s": 0.01,
        "producer": "test",
        "config": {},
        "seed": 0,
    }
    with cc.create(
        path, "recording", name="toy", axes={"neuron": n_neurons, "region": 2}, **header
    ) as writer:
        writer.names("region", ["A", "B"])
        writer.column("trials", "split", np.digitize(np.arange(n_trials) % 10, [6, 8]))
        writer.column("neurons", "held_out", np.arange(n_neurons) % 4 == 3)
        writer.column("neurons", "region", np.arange(n_neurons) * 2 // n_neurons)
        writer.signal("activity", trials.activity, unit="mV")
        writer.signal("inputs", trials.inputs, unit="1")
        writer.truth("activity_prediction", latent @ system.emission.T + system.offset, unit="mV")
        writer.truth("states", latent)
        writer.column("states", "region", STATE_REGIONS)
    return path


def test_of_a_linear_world_it_knows_what_can_be_known(tmp_path):
    """Against the true system's own Kalman smoother and forecasts of the held-in neurons."""
    system = make_system(3, n_neurons=24, noise=2.0)
    latent, trials = draw(system, n_trials=200, n_bins=30)
    path = record(tmp_path / "r.h5", trials, latent, system)
    with cc.open(path) as recording:
        write_prediction(tmp_path / "i.h5", recording, LinearDynamicsConfig([1, 2, 4], [1e-4], [3]))
    seen = np.arange(24) % 4 != 3
    own = LinearSystem(
        **{
            **vars(system),
            "emission": system.emission[seen],
            "offset": system.offset[seen],
            "noise": system.noise[seen],
        }
    )
    known = Trials(trials.activity[..., seen], trials.inputs, trials.lengths)
    best = {
        name: states(own, known, ahead=ahead) @ system.emission.T + system.offset
        for name, ahead in (("activity_prediction", None), ("forecast_3", 3))
    }
    columns = {("states", "region"): STATE_REGIONS}
    cc.write_inference(
        tmp_path / "best.h5",
        path,
        model="best",
        states=latent,
        columns=columns,
        units={"forecast_3": "mV"},
        **best,
    )
    result = analyse(path, [tmp_path / "i.h5", tmp_path / "best.h5"], AnalysisConfig(n_resamples=0))
    for metric, slack in (("activity_r2", 0.02), ("co_r2", 0.02), ("forecast_r2 3", 0.02)):
        found, bound = (result.row(model, metric).value for model in ("linear_dynamics", "best"))
        assert bound > 0.15
        assert bound - slack < found < bound + 0.01
    with cc.open(tmp_path / "i.h5") as file:
        x, u = file.signals["states"][:].astype(float), file.signals["inputs"][:].astype(float)
        dynamics, messages = file.dynamics(), file.signals["messages"][:]
        assert file.signals["forecast_3"].unit == file.signals["activity_prediction"].unit == "mV"
        told = messages.sum(axis=2)[:, 1:] + x[:, :-1] + u[:, 1:] @ dynamics.B.T + dynamics.c
        np.testing.assert_allclose(told, dynamics.step(x[:, :-1], u[:, 1:]), atol=1e-4)
        assert file.provenance.config["chosen"]["held_out"]["n_latents"] in (2, 4)
        assert file.provenance.config["chosen"]["forecast_3"]["valid_r2"] > 0.1


def test_gaps_are_refused(tmp_path):
    path = make_recording(tmp_path / "r.h5", n_trials=30, n_time=8, seed=0)
    with cc.open(path) as source:
        spikes, split = source.signals["spikes"][:], source.tables["trials"]["split"]
        shape, held_out = spikes.shape, source.held_out
    observed = np.ones(shape, np.uint8)
    observed[:, 3, np.flatnonzero(~held_out)[0]] = 0
    header = {
        "trial": shape[0],
        "time": shape[1],
        "bin_width_s": 0.01,
        "producer": "test",
        "config": {},
        "seed": 0,
    }
    with cc.create(
        tmp_path / "gaps.h5", "recording", name="toy", axes={"neuron": shape[2]}, **header
    ) as writer:
        writer.column("trials", "split", split)
        writer.column("neurons", "held_out", held_out)
        writer.signal("spikes", spikes * observed)
        writer.signal("observed", observed)
    with cc.open(tmp_path / "gaps.h5") as recording, pytest.raises(ValueError, match="observed in all bins"):
        write_prediction(tmp_path / "i.h5", recording, LinearDynamicsConfig([1], [0.1], []))
