"""Posterior samples: the same as running the whole model sample by sample, however they are split."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from toys import batch_of, model_of, shape_of, small_config

from ctd_contract.torch.random import generator
from ctd_models_torch.batch import Batch
from ctd_models_torch.derived.sampling import SamplingConfig, sampled
from ctd_models_torch.errors import InputError
from ctd_models_torch.lfads.config import (
    ControllerConfig,
    GeneratorConfig,
    InitialEncoderConfig,
    LFADSConfig,
    PriorConfig,
)
from ctd_models_torch.lfads.model import LFADS, Trials
from ctd_models_torch.moments import RunningMoments

NONE = PriorConfig("none")
CONTROLLER = ControllerConfig(size=4, controls=2, encoder_size=3)


def config_of(**settings) -> LFADSConfig:
    size = {"size": 5, "factors": 3, "initial_condition": 4, "encoder": InitialEncoderConfig(size=4)}
    return LFADSConfig(**(size | settings))


FORMS = {
    "controller": config_of(controller=CONTROLLER, dropout=0.5),
    "node": config_of(controller=CONTROLLER, generator=GeneratorConfig("node", hidden_size=6)),
    "no controller": config_of(),
    "certain start": config_of(controller=CONTROLLER, initial_prior=NONE),
    "certain inputs": config_of(controller=CONTROLLER, control_prior=NONE),
}


class Axes:
    """The part of a recording that sampling asks: what its trials are called, and units."""

    @dataclass
    class File:
        ids: np.ndarray
        bin_width_s: float = 0.01

        def axis(self, name: str) -> np.ndarray:
            assert name == "trial"
            return self.ids

    signal = "spikes"

    def __init__(self, ids) -> None:
        self.file = self.File(np.array(ids))


def naive(model, batch: Batch, ids, config: SamplingConfig) -> dict[str, np.ndarray]:
    """The whole model, encoders included, once for each sample of each trial."""
    names = ("rates", "states", "factors", "initial_state", "inferred_inputs", "variance")
    found: dict[str, list] = {name: [] for name in names}
    for row, identity in enumerate(ids):
        trial = part(batch, [row])
        samples: dict[str, list] = {name: [] for name in names}
        for number in range(config.samples):
            read = model.session.read(model.session.see(trial))
            draw = lambda name: generator(config.seed, name, identity, number)  # noqa: E731, B023
            one = model._run(read, Trials.of([trial]), trial.n_time, draw)
            rates = model.observation.expected(model.session.readout(one.decoded.factors)) / 0.01
            samples["rates"].append(rates)
            samples["states"].append(one.decoded.states)
            samples["factors"].append(one.decoded.factors)
            samples["initial_state"].append(one.state)
            if one.controls is not None:
                samples["inferred_inputs"].append(one.controls.mean)
                samples["variance"].append(one.controls.std.square())
        for name, values in samples.items():
            if values:
                found[name].append(torch.cat(values).double().numpy())
    return {name: np.array(values) for name, values in found.items() if values}


def part(batch: Batch, rows: list[int]) -> Batch:
    return Batch(**{n: v[rows] if isinstance(v, torch.Tensor) else v for n, v in vars(batch).items()})


@pytest.fixture
def ids():
    return [40, 7, 19, 3, 28]


@pytest.mark.parametrize("form", FORMS)
def test_it_is_the_whole_model_run_for_each_sample(form, random, ids):
    shape = shape_of()
    model, batch = model_of(FORMS[form], shape), batch_of(random, shape)
    config = SamplingConfig(samples=6, seed=3)
    with torch.no_grad():
        found = sampled(model, Axes(ids), batch, config)
        model.config = replace(model.config, dropout=0.0)
        expected = naive(model, batch, ids, config)
    variance = expected.pop("variance", None)
    for name, samples in expected.items():
        np.testing.assert_allclose(found[name].numpy(), samples.mean(1), rtol=1e-4, atol=1e-5)
        spread = samples.var(axis=1, ddof=1)
        if name == "inferred_inputs" and form != "certain inputs":
            spread = spread + variance.mean(1)
        np.testing.assert_allclose(found[f"{name}_std"].numpy(), np.sqrt(spread), rtol=1e-3, atol=1e-5)


def test_the_initial_conditions_moments_are_the_posteriors_own(random, ids):
    model, batch = model_of(FORMS["controller"], shape_of()), batch_of(random, shape_of())
    with torch.no_grad():
        found, inferred = sampled(model, Axes(ids), batch, SamplingConfig(samples=2)), model.infer(batch)
    for name in ("initial_condition", "initial_condition_std"):
        torch.testing.assert_close(found[name], inferred.signals[name], rtol=1e-5, atol=1e-6)
    assert "initial_condition_std_std" not in found


def test_rates_are_averaged_as_rates(random, ids):
    """The mean of a lognormal lies above the exponential of its mean logarithm."""
    model, batch = model_of(FORMS["controller"], shape_of()), batch_of(random, shape_of())
    with torch.no_grad():
        found = sampled(model, Axes(ids), batch, SamplingConfig(samples=30))
        of_mean_factors = model.observation.expected(model.session.readout(found["factors"])) / 0.01
    assert (found["rates"] - of_mean_factors).min() > -1e-3
    assert (found["rates"] / of_mean_factors).mean() > 1.005


def spied(monkeypatch) -> list[int]:
    """Rows of each call of the decoder."""
    rows, decode = [], LFADS.decode

    def counting(self, encoding, code, noise, masks, n_time):
        rows.append(len(code))
        return decode(self, encoding, code, noise, masks, n_time)

    monkeypatch.setattr(LFADS, "decode", counting)
    return rows


def test_splits_of_samples_and_trials_change_nothing_but_the_memory(random, ids, monkeypatch):
    shape = shape_of(neurons=120, bins=250)
    model, batch = model_of(FORMS["controller"], shape), batch_of(random, shape, bins=250)
    encoded, encode = [], LFADS.encode
    monkeypatch.setattr(LFADS, "encode", lambda self, *a, **k: encoded.append(1) or encode(self, *a, **k))
    rows, found = spied(monkeypatch), {}
    with torch.no_grad():
        for memory_mb in (1024, 15, 1):
            rows.clear()
            config = SamplingConfig(samples=7, memory_mb=memory_mb)
            found[memory_mb] = sampled(model, Axes(ids), batch, config), list(rows)
    assert len(encoded) == 3, "encoders run once, not once for each sample"
    whole, calls = found[1024]
    assert calls == [1, 35]
    assert found[1][1] == [1] * 36
    assert 1 < max(found[15][1]) < 35
    for memory_mb in (15, 1):
        for name, values in found[memory_mb][0].items():
            torch.testing.assert_close(values, whole[name], rtol=1e-4, atol=1e-4)


def test_the_order_of_the_trials_changes_nothing(random, ids):
    model, batch = model_of(FORMS["controller"], shape_of()), batch_of(random, shape_of())
    order = [3, 0, 4]
    with torch.no_grad():
        whole = sampled(model, Axes(ids), batch, SamplingConfig(samples=5))
        some = sampled(model, Axes(ids), part(batch, order), SamplingConfig(samples=5))
        other = sampled(model, Axes(ids), batch, SamplingConfig(samples=5, seed=1))
    for name, values in some.items():
        torch.testing.assert_close(values, whole[name][order], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(other["rates"], whole["rates"])


def test_moments_of_chunks_are_those_of_all(random):
    values = torch.from_numpy(random.standard_normal((17, 3, 2)) * 1e-3 + 1e4)
    for sizes in ([17], [1] * 17, [5, 1, 11]):
        moments = RunningMoments()
        for chunk in values.split(sizes):
            moments.add(chunk)
        torch.testing.assert_close(moments.mean, values.mean(0), rtol=1e-12, atol=0)
        torch.testing.assert_close(moments.std, values.std(0), rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (small_config("gru"), "no posterior to sample: fit model=lfads or model=band"),
        (config_of(initial_prior=NONE), "its priors are of the kind none"),
    ],
)
def test_a_model_without_a_posterior_is_refused(config, sentence, random, ids):
    model, batch = model_of(config, shape_of()), batch_of(random, shape_of())
    with pytest.raises(InputError, match=sentence):
        sampled(model, Axes(ids), batch, SamplingConfig())


@pytest.mark.parametrize("settings", [{"samples": 1}, {"memory_mb": 0}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(InputError, match=f"{next(iter(settings))} is at least"):
        SamplingConfig(**settings)
