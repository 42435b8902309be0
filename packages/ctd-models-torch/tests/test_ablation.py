"""Taking inferred inputs away: those alone, from exactly the bins that are not kept."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from toys import batch_of, model_of, shape_of, small_config

from ctd_models_torch.derived.ablation import ablated
from ctd_models_torch.errors import InputError
from ctd_models_torch.lfads.config import ControllerConfig, GeneratorConfig, InitialEncoderConfig, LFADSConfig

BINS = 7


def config_of(**settings) -> LFADSConfig:
    return LFADSConfig(
        size=5,
        factors=3,
        initial_condition=4,
        encoder=InitialEncoderConfig(size=4),
        controller=ControllerConfig(size=4, controls=2, encoder_size=3),
        **settings,
    )


FORMS = {
    "gru": config_of(),
    "torch's reset": config_of(generator=GeneratorConfig(reset="after")),
    "node": config_of(generator=GeneratorConfig("node", hidden_size=6)),
}


@pytest.mark.parametrize("keep", [[], [3], [2, 3, 4], list(range(BINS))])
@pytest.mark.parametrize("form", FORMS)
def test_it_is_the_generator_run_by_hand_on_the_other_inputs(form, keep, random):
    """The portable dynamics and readout, in NumPy and bin by bin, give the same."""
    shape = shape_of()
    model, batch = model_of(FORMS[form], shape), batch_of(random, shape)
    with torch.no_grad():
        before, after = model.infer(batch), ablated(model, batch, keep)
    controls = before.signals["inferred_inputs"].double().numpy()
    controls[:, [index for index in range(BINS) if index not in keep]] = 0.0
    np.testing.assert_array_equal(after.signals["inferred_inputs"].numpy(), controls.astype(np.float32))
    dynamics, readout = model.dynamics(), model.portable_readout(0.01)
    drive = np.concatenate([controls, batch.inputs.double().numpy()], axis=2)
    state, states = before.initial_state.double().numpy(), []
    for index in range(BINS):
        state = dynamics.step(state, drive[:, index])
        states.append(state)
    states = np.stack(states, axis=1)
    np.testing.assert_allclose(after.states.numpy(), states, atol=1e-5)
    np.testing.assert_allclose(after.signals["factors"].numpy(), readout.factors(states), atol=1e-5)
    rates = model.observation.expected(after.prediction).numpy() / 0.01
    np.testing.assert_allclose(rates, readout.evaluate(states), rtol=1e-4)


def test_keeping_all_bins_changes_nothing(random):
    model, batch = model_of(config_of(), shape_of()), batch_of(random, shape_of())
    whole, before = ablated(model, batch, range(BINS)), model.infer(batch)
    torch.testing.assert_close(whole.prediction, before.prediction, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(whole.initial_state, before.initial_state, rtol=0, atol=0)


def test_known_inputs_still_drive_the_generator(random):
    """The published way, zero input weights, takes them away; here they act as before."""
    model, batch = model_of(config_of(), shape_of()), batch_of(random, shape_of())
    other = replace(batch, inputs=batch.inputs + 1.0)
    assert not torch.allclose(ablated(model, batch).states, ablated(model, other).states, atol=1e-3)
    weight = model.decoder.generator.unit.weight_input
    with torch.no_grad():
        ours = ablated(model, batch).states
        weight[:, :2] = 0.0
        torch.testing.assert_close(ablated(model, batch, range(BINS)).states, ours, rtol=1e-4, atol=1e-5)
        weight[:] = 0.0
        assert not torch.allclose(ablated(model, batch).states, ours, atol=1e-3)


def test_a_transient_acts_from_its_bin_on(random):
    model, batch = model_of(config_of(), shape_of()), batch_of(random, shape_of())
    without, transient = ablated(model, batch).states, ablated(model, batch, [3]).states
    torch.testing.assert_close(transient[:, :3], without[:, :3], rtol=1e-5, atol=1e-6)
    assert (transient[:, 3:] - without[:, 3:]).abs().amax((0, 2)).min() > 1e-6


@pytest.mark.parametrize("config", [small_config("lfads"), small_config("gru")])
def test_a_model_without_inferred_inputs_is_refused(config, random):
    model, batch = model_of(config, shape_of()), batch_of(random, shape_of())
    with pytest.raises(InputError, match=r"infers no inputs .* model.controller.size above 0"):
        ablated(model, batch)


@pytest.mark.parametrize("bin_", [-1, BINS])
def test_bins_that_do_not_exist_are_refused(bin_, random):
    model, batch = model_of(config_of(), shape_of()), batch_of(random, shape_of())
    with pytest.raises(InputError, match=f"keep={bin_}: bins of this recording are 0 to 6"):
        ablated(model, batch, [bin_])
