"""Any model's results become a contract file with one call."""

import numpy as np
import pytest

import ctd_contract as cc
from ctd_contract.dynamics import Affine, Opaque, Probe
from ctd_contract.testing import make_recording
from ctd_contract.validation import validate

N_TRIALS, N_TIME, N_NEURONS, N_STATES = 20, 30, 8, 3


@pytest.fixture
def recording(tmp_path):
    return make_recording(tmp_path / "recording.h5", n_trials=N_TRIALS, n_time=N_TIME, n_neurons=N_NEURONS)


def results(n_trials=N_TRIALS, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "rates": rng.uniform(1, 50, (n_trials, N_TIME, N_NEURONS)),
        "states": rng.normal(size=(n_trials, N_TIME, N_STATES)),
    }


def model(n_inputs=2, **options):
    """Affine dynamics and a probe at states that the model visited."""
    rng = np.random.default_rng(1)
    dynamics = Affine(rng.normal(size=(N_STATES, N_STATES)), rng.normal(size=(N_STATES, n_inputs)), **options)
    state, u = rng.normal(size=(64, N_STATES)), rng.normal(size=(64, n_inputs))
    return dynamics, Probe(state, u, dynamics.step(state, u))


def test_results_come_back_with_the_tables_of_the_recording(tmp_path, recording):
    dynamics, probe = model()
    readout = cc.Readout([cc.Layer(np.ones((N_NEURONS, N_STATES)), None, "exp")], scale=100.0)
    given = results()
    cc.write_inference(
        tmp_path / "fit.h5", recording, model="mine", name="fit 1", seed=4, config={"rank": 3},
        dynamics=dynamics, probe=probe, readout=readout, forecast_5=given["rates"], **given,
    )  # fmt: skip
    assert validate(tmp_path / "fit.h5", parents=[recording]) == []
    with cc.open(recording) as source, cc.open(tmp_path / "fit.h5") as file:
        assert (file.kind, file.name, file.provenance.seed) == ("inference", "fit 1", 4)
        assert file.provenance.config == {"model": "mine", "rank": 3}
        (parent,) = file.provenance.parents
        assert (parent.id, parent.digest, parent.role) == (source.id, source.digest, "recording")
        np.testing.assert_allclose(file.signals["rates"][:], given["rates"], rtol=1e-6)
        assert file.signals["rates"].unit == "spikes/s"
        assert set(file.signals) == {"rates", "states", "inputs", "forecast_5"}
        np.testing.assert_array_equal(file.signals["inputs"][:], source.signals["inputs"][:])
        for name in ("trial", "neuron"):
            np.testing.assert_array_equal(file.axis(name), source.axis(name))
        np.testing.assert_array_equal(file.time, source.time)
        for table, columns in source.tables.items():
            for column, values in columns.items():
                np.testing.assert_array_equal(file.tables[table][column], values)
        np.testing.assert_array_equal(file.phases["go"], source.phases["go"])
        x, u = np.ones(N_STATES), np.ones(2)
        np.testing.assert_array_equal(file.dynamics().step(x, u), dynamics.step(x, u))
        np.testing.assert_array_equal(file.readout().evaluate(x), readout.evaluate(x))


def test_a_part_of_the_trials_in_another_order(tmp_path, recording):
    ids = np.array([117, 103, 110])
    given = results(3)
    dynamics, probe = model()
    cc.write_inference(
        tmp_path / "fit.h5", recording, model="mine", trial=ids, dynamics=dynamics, probe=probe, **given
    )
    with cc.open(recording) as source, cc.open(tmp_path / "fit.h5") as file:
        np.testing.assert_array_equal(file.axis("trial"), ids)
        rows, others = cc.align(file, source)
        np.testing.assert_array_equal(others, [17, 3, 10])
        split = source.tables["trials"]["split"]
        np.testing.assert_array_equal(file.tables["trials"]["split"][rows], split[others])
        inputs = source.signals["inputs"][:]
        np.testing.assert_array_equal(file.signals["inputs"][:][rows], inputs[others])


def test_padding_is_zeroed(tmp_path):
    make_recording(tmp_path / "recording.h5", lengths=True, n_time=N_TIME, n_neurons=N_NEURONS)
    cc.write_inference(tmp_path / "fit.h5", tmp_path / "recording.h5", model="mine", **results())
    assert validate(tmp_path / "fit.h5") == []
    with cc.open(tmp_path / "fit.h5") as file:
        valid = file.valid_bins()
        assert not valid.all()
        assert not file.signals["rates"][:][~valid].any()
        np.testing.assert_allclose(file.signals["rates"][:][valid], results()["rates"][valid], rtol=1e-6)


def test_continuous_recordings_keep_their_unit(tmp_path):
    make_recording(tmp_path / "recording.h5", continuous=True, n_neurons=N_NEURONS)
    cc.write_inference(
        tmp_path / "fit.h5", tmp_path / "recording.h5", model="mine", activity_prediction=results()["rates"]
    )
    with cc.open(tmp_path / "fit.h5") as file:
        assert file.signals["activity_prediction"].unit == "log(spikes/s)"


def test_an_open_recording_stays_open(tmp_path, recording):
    with cc.open(recording) as source:
        cc.write_inference(tmp_path / "fit.h5", source, model="mine", dynamics=Opaque(N_STATES), **results())
        assert source.signals["spikes"][0].shape == (N_TIME, N_NEURONS)
    with cc.open(tmp_path / "fit.h5") as file:
        assert file.dynamics().kind == "opaque"


def wrong_probe():
    dynamics, probe = model()
    return {"dynamics": dynamics, "probe": Probe(probe.state, probe.input, probe.next_state + 0.01)}


def layers(n_neurons, n_states):
    return cc.Readout([cc.Layer(np.ones((n_neurons, n_states)))])


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"rates": np.ones((19, 30, 8))}, "CTD203", r"\(trial=20, time=30, neuron=8\), got \(19, 30, 8\)"),
        ({"rates": np.ones((20, 30, 6))}, "CTD203", r"neuron=8\), got \(20, 30, 6\)"),
        ({"factors": np.ones((20, 30))}, "CTD203", r"\(trial=20, time=30, factor\), got \(20, 30\)"),
        ({"initial_state": np.ones((20, 4))}, "CTD203", r"\(trial=20, state=3\), got \(20, 4\)"),
        ({"states": np.full((20, 30, 3), np.nan)}, "CTD303", "got 1800 that aren't"),
        ({"rate": np.ones((20, 30, 8))}, "CTD208", "did you mean rates"),
        ({"spikes": np.ones((20, 30, 8))}, "CTD207", "spikes"),
        ({"trial": [100, 7]}, "CTD606", "1 that aren't: 7"),
        ({"dynamics": model()[0]}, "CTD403", "a probe"),
        (wrong_probe(), "CTD404", "next states within 1e-05"),
        (
            dict(zip(("dynamics", "probe"), model(inputs=("inferred_inputs",)), strict=True)),
            "CTD405",
            "inferred",
        ),
        (dict(zip(("dynamics", "probe"), model(5), strict=True)), "CTD406", "3 states and 2 inputs"),
        ({"readout": layers(8, 4)}, "CTD407", "from 3 states to 8 neurons, got from 4 states to 8 neurons"),
        ({"readout": layers(7, 3)}, "CTD407", "got from 3 states to 7 neurons"),
    ],
)
def test_what_doesnt_fit_is_refused_and_leaves_nothing(tmp_path, recording, change, code, message):
    with pytest.raises(cc.ContractError, match=message) as caught:
        cc.write_inference(tmp_path / "fit.h5", recording, model="mine", **{**results(), **change})
    assert caught.value.code == code
    assert [path.name for path in tmp_path.iterdir()] == ["recording.h5"]
