"""Systems of several regions against their equations, and their recordings against what they promise."""

import numpy as np
import pytest

import ctd_contract as cc
from ctd_contract.validation import validate
from ctd_sim import (
    DoubleWell,
    DoubleWellConfig,
    LinearConfig,
    LogUniformTargetConfig,
    LotkaVolterra,
    LotkaVolterraConfig,
    ObservationConfig,
    SmoothConfig,
    ThreeRegionRNN,
    ThreeRegionRNNConfig,
    simulate,
)
from ctd_sim.systems import lotka_volterra, messages_from

SMALL = {
    "double_well": DoubleWellConfig(trials=40),
    "lotka_volterra": LotkaVolterraConfig(trials=30, bins=60),
    "three_region_rnn": ThreeRegionRNNConfig(trials=12, bins=30, units=20),
}


def slow_double_well(x, u, mode):
    """One bin of one trial as the equations read; the way back depends on the state, not on its increment."""
    a, b, c, d = x
    bump = np.exp(-(c**2) - d**2)
    field = np.array([(1 - 2 * c**2) * bump, -2 * c * d * bump])
    if mode == 0:
        first = 0.075 * (np.array([a - a**3, -b]) + u)
        second = 0.08 * field + 0.125 * np.array([[0, 0.75], [0, 0]]) @ [a, b]
    else:
        w = np.clip(2 * b, 0, 1)
        growing = np.array([-a, 0.55 * (b + 0.04 * abs(a))])
        first = 0.06 * ((1 - w) * growing + w * np.array([-2 * a, -(b - 0.45)]) + u)
        first = first + 0.025 * np.array([[0, 0], [0.35, 0]]) @ np.abs([c + 0.725, d])
        second = -0.1 * field + [-0.015, 0]
    return x + np.concatenate([first, second])


def test_the_double_well_is_its_equations():
    random = np.random.default_rng(0)
    x, u, mode = random.standard_normal((50, 4)), random.standard_normal((50, 2)), random.integers(0, 2, 50)
    expected = [slow_double_well(*point) for point in zip(x, u, mode, strict=True)]
    np.testing.assert_allclose(DoubleWell().step(x, u, mode), expected, atol=1e-14)


def test_fixed_points_of_the_double_well():
    system, low = DoubleWell(), 1 / np.sqrt(2)
    points = np.array([[a, 0.0, c, 0.0] for a in (-1, 0, 1) for c in (-low, low)])
    silent = np.zeros((6, 2)), np.zeros(6, int)
    np.testing.assert_allclose(system.step(points, *silent), points, atol=1e-15)
    # Both wells and the maximum attract, the ridge between the wells and the minimum repel.
    shift = 1e-4 * np.array([1.0, 0.0, 1.0, 1.0])
    grown = np.abs(system.step(points + shift, *silent) - points)[:, [0, 2, 3]] > shift[0]
    assert grown[:, 0].tolist() == [a == 0 for a in (-1, 0, 1) for _ in range(2)]
    assert grown[:, 1].tolist() == grown[:, 2].tolist() == [True, False] * 3
    # The second mode brings every state to one resting point, where b has nothing left to learn.
    x = np.random.default_rng(0).uniform(-1, 1, (20, 4)) * [1, 0.5, 0.9, 0.5] + [0, 0.5, 0, 0]
    for _ in range(3000):
        x = system.step(x, np.zeros((20, 2)), np.ones(20, int))
    np.testing.assert_allclose(x, np.tile(x[0], (20, 1)), atol=1e-8)
    assert x[0, 2] == pytest.approx(-0.8, abs=0.01)
    told = 0.025 * 0.35 * abs(x[0, 2] + 0.725) / 0.06
    assert (1 - 2 * x[0, 1]) * 0.55 * x[0, 1] + 2 * x[0, 1] * (0.45 - x[0, 1]) + told == pytest.approx(0)


@pytest.mark.parametrize("mode", [0, 1])
def test_lotka_volterra_keeps_what_its_flow_keeps(mode):
    modes = np.full((8, 300), mode)
    initial = 1 + 0.2 * np.random.default_rng(0).random((8, 2))
    system = LotkaVolterra()
    x, kept = initial, []
    for k in range(300):
        kept.append(lotka_volterra.conserved(x, modes[:, k]))
        x = system.step(x, np.zeros((8, 1)), modes[:, k])
    assert np.abs(np.array(kept) - kept[0]).max() < 1e-5
    a, b, c, d = lotka_volterra.RATES[mode]
    rest = np.array([[c / d, a / b]])
    np.testing.assert_allclose(system.step(rest, np.zeros((1, 1)), np.array([mode])), rest, atol=1e-14)
    # Prey grow where predators are few, forwards; the other way round backwards.
    few = system.step(rest * [1, 0.5], np.zeros((1, 1)), np.array([mode]))[0, 0]
    assert (few > rest[0, 0]) == (mode == 0)


def test_the_flow_of_prey_and_predators_is_its_equations():
    random = np.random.default_rng(0)
    x, mode = random.uniform(0.5, 2, (20, 2)), random.integers(0, 2, 20)
    a, b, c, d = lotka_volterra.RATES[mode].T * np.array([1, -1])[mode]
    flow = lotka_volterra.flow(x, mode)
    np.testing.assert_allclose(flow[:, 0, 0], a * x[:, 0])
    np.testing.assert_allclose(flow[:, 1, 0], -b * x[:, 0] * x[:, 1])
    np.testing.assert_allclose(flow[:, 0, 1], d * x[:, 0] * x[:, 1])
    np.testing.assert_allclose(flow[:, 1, 1], -c * x[:, 1])


@pytest.mark.parametrize("system", [DoubleWell(), LotkaVolterra(), ThreeRegionRNN(4, 0.5, 0.3, 0.0, 0)])
def test_messages_are_what_a_region_changes_in_another_by_leaving_its_reference(system):
    random = np.random.default_rng(0)
    x, u = random.uniform(0.3, 1.5, (9, system.n_states)), random.standard_normal((9, len(system.inputs)))
    mode = random.integers(0, max(1, len(system.modes)), 9)
    reference = random.uniform(0.5, 1.0, system.n_states)
    messages = messages_from(system, x, u, mode, reference)
    following, parts = system.step(x, u, mode), system.parts(x, u, mode)
    told = parts.input_messages.sum(1)
    np.testing.assert_allclose(messages.sum(1) + told, following - x, atol=1e-13)
    for region, own in enumerate(system.slices()):
        without = x.copy()
        without[:, own] = reference[own]
        changed = following - system.step(without, u, mode)
        changed[:, own] = messages[:, region, own]
        np.testing.assert_allclose(messages[:, region], changed, atol=1e-13)
        others = system.state_regions != region
        at_rest = messages_from(system, without, u, mode, reference)[:, region, others]
        np.testing.assert_allclose(at_rest, 0.0, atol=1e-13)


def test_messages_of_the_equations_differ_by_what_is_local(tmp_path):
    states = {}
    for name in ("mean", "equations"):
        config = LotkaVolterraConfig(trials=10, bins=40, message_reference=name)
        record(tmp_path / "r.h5", config, overwrite=True)
        with cc.open(tmp_path / "r.h5") as file:
            states[name] = file.truth["messages"][:].astype(float)
    np.testing.assert_allclose(states["mean"].sum(2), states["equations"].sum(2), atol=1e-5)
    assert np.abs(states["mean"] - states["equations"]).max() > 0.05
    # Of the equations: predators only ever take prey, forwards.
    assert states["equations"][:, :9, 1, 0].max() < 0


def test_messages_of_the_networks_are_their_equations():
    system = ThreeRegionRNN(8, 0.3, 0.2, 1.0, seed=1)
    random = np.random.default_rng(0)
    x, u = random.standard_normal((5, 24)), random.standard_normal((5, 4))
    parts = system.parts(x, u, np.zeros(5, int))
    for i in range(3):
        for j in range(3):
            source, target = slice(8 * j, 8 * j + 8), slice(8 * i, 8 * i + 8)
            weight = system.within[i] if i == j else system.between[i, j]
            expected = 0.1 * (np.tanh(x[:, source] @ weight.T) - (i == j) * x[:, target])
            np.testing.assert_allclose(parts.messages[:, j, target], expected, atol=1e-15)
    np.testing.assert_allclose(parts.input_messages.sum(1), 0.1 * u @ system.drive, atol=1e-15)
    assert not system.drive[:, :8].any()
    assert np.isin(system.between, [-0.2, 0.0, 0.2]).all()
    # Half of the units of B see the bump, half of those of C the pattern.
    assert [(system.drive[rows] != 0).any(0).sum() for rows in (slice(3), slice(3, 4))] == [4, 4]


def record(path, config, seed=0, *, overwrite=False, **settings):
    options = {"held_in": 6, "held_out": 2, "embedding": LinearConfig(), "standardise": "neuron"} | settings
    return simulate(
        config.source(seed),
        path,
        ObservationConfig(**options),
        seed=seed,
        producer="tests",
        overwrite=overwrite,
    )


@pytest.mark.parametrize("name", SMALL)
def test_messages_and_inputs_add_up_to_the_increment_of_the_states(name, tmp_path):
    config = type(SMALL[name])(**{**vars(SMALL[name]), "noise": 0.0})
    record(tmp_path / "r.h5", config)
    assert not [found for found in validate(tmp_path / "r.h5") if found.severity == "error"]
    with cc.open(tmp_path / "r.h5") as file:
        states, initial = file.truth["states"][:], file.truth["initial_state"][:]
        before = np.concatenate([initial[:, None], states[:, :-1]], axis=1)
        told = file.truth["messages"][:].sum(axis=2) + file.truth["input_messages"][:].sum(axis=2)
        np.testing.assert_allclose(told, states - before, atol=5e-6)
        assert len(np.unique(states.round(6).reshape(len(states), -1), axis=0)) == len(states)
        if name != "three_region_rnn":
            # A cue in the bin before, and nothing else, tells of a switch.
            cue = file.signals["inputs"][..., -1][:, :-1] > 0
            assert np.array_equal(cue, np.diff(file.truth["mode"][:], axis=1) != 0)
            assert set(np.unique(file.truth["mode"][:])) == {0, 1}


@pytest.mark.parametrize("embedding", [LinearConfig(), SmoothConfig(features=16)])
@pytest.mark.parametrize("name", SMALL)
def test_neurons_see_their_own_region_alone(name, embedding, tmp_path):
    record(tmp_path / "r.h5", SMALL[name], embedding=embedding)
    with cc.open(tmp_path / "r.h5") as file:
        region, own = file.tables["neurons"]["region"], file.tables["states"]["region"]
        n_regions = file.sizes["region"]
        assert np.array_equal(region, np.repeat(np.arange(n_regions), 8))
        assert np.array_equal(file.held_out, np.tile(np.arange(8) >= 6, n_regions))
        weight = np.linalg.multi_dot(
            [*(layer.weight for layer in file.truth_readout().layers[::-1]), np.eye(len(own))]
        )
        assert np.array_equal(weight != 0, region[:, None] == own)
        # Offsets are the readout's alone: the same in all trials.
        rates = file.truth_readout().evaluate(file.truth["states"][:])
        np.testing.assert_allclose(rates, file.truth["rates"][:], rtol=1e-4)


def test_means_of_counts_lie_where_they_were_asked(tmp_path):
    record(
        tmp_path / "r.h5",
        SMALL["double_well"],
        target_rate=LogUniformTargetConfig(30.0, 200.0),
        nonlinearity="softplus",
    )
    with cc.open(tmp_path / "r.h5") as file:
        means = file.truth["rates"][:][file.split("train")].mean(axis=(0, 1)) * file.bin_width_s
    assert means.min() > 0.3 - 1e-6
    assert means.max() < 2.0 + 1e-6
    assert means.std() > 0.2


def test_gaussian_activity_has_the_ratio_asked_for_and_clean_none(tmp_path):
    for name, settings in {
        "noisy": {"emission": "gaussian", "signal_to_noise": 2.0},
        "clean": {"emission": "clean"},
    }.items():
        record(tmp_path / f"{name}.h5", DoubleWellConfig(trials=300), **settings)
    with cc.open(tmp_path / "noisy.h5") as file:
        clean, noisy = file.truth["activity_prediction"][:], file.signals["activity"][:]
        noise = noisy - clean
        np.testing.assert_allclose(clean.var(axis=(0, 1)) / noise.var(axis=(0, 1)), 2.0, rtol=0.05)
        np.testing.assert_allclose(noise.std(axis=(0, 1)), file.tables["neurons"]["noise_std"], rtol=0.03)
        assert clean.mean(axis=(0, 1)).std() > 0.3
        trial = noise.reshape(len(noise), -1)
        assert abs(np.corrcoef(trial[0], trial[1])[0, 1]) < 0.2
        assert abs(np.corrcoef(trial[0], trial[256])[0, 1]) < 0.2
    with cc.open(tmp_path / "clean.h5") as file:
        assert np.array_equal(file.signals["activity"][:], clean)
        assert "spikes" not in file.signals


def test_noise_moves_each_state_on_its_own():
    system, trials = DoubleWellConfig(trials=200).simulate(3)
    noise = (
        trials.states - trials.before() - system.parts(trials.before(), trials.inputs, trials.mode).increment
    )
    for mode in (0, 1):
        moved = noise[trials.mode == mode]
        assert np.abs(np.corrcoef(moved.T) - np.eye(4)).max() < 0.05
        assert (moved.std(axis=0) > 0).all()


def test_starts_that_differ_leave_the_curve_on_which_regions_tell_of_each_other():
    tied = []
    for spread in (0.0, 0.2):
        _, trials = DoubleWellConfig(start_std=spread).simulate(0)
        np.testing.assert_allclose(trials.initial_state.std(axis=0), spread, rtol=0.15, atol=1e-12)
        np.testing.assert_allclose(trials.initial_state.mean(axis=0), [0.0, 0.5, -0.725, 0.0], atol=0.04)
        b, c = trials.before()[trials.mode == 0][:, 1:3].T
        tied.append(abs(np.corrcoef(b, c)[0, 1]))
    assert tied[0] > 0.95
    assert tied[1] < 0.3


def test_sizes_and_seeds():
    for config, shape in (
        (DoubleWellConfig, (450, 75)),
        (LotkaVolterraConfig, (500, 150)),
        (ThreeRegionRNNConfig, (300, 100)),
    ):
        assert (config().trials, config().bins) == shape
    a, b, c = (SMALL["three_region_rnn"].source(seed) for seed in (0, 0, 1))
    assert np.array_equal(a.read("states", slice(None)), b.read("states", slice(None)))
    assert not np.allclose(a.read("states", slice(None)), c.read("states", slice(None)))
    assert np.bincount(DoubleWellConfig().source(0).split).tolist() == [315, 45, 90]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (DoubleWellConfig(trials=0), "trials"),
        (DoubleWellConfig(noise=-1.0), "noise"),
        (DoubleWellConfig(start_std=-0.1), "start_std"),
        (LotkaVolterraConfig(bins=20), "room"),
        (LotkaVolterraConfig(message_reference="median"), "median"),
        (ThreeRegionRNNConfig(share=2.0), "share"),
        (ThreeRegionRNNConfig(units=0), "units"),
    ],
)
def test_settings_without_sense_are_refused(config, said):
    with pytest.raises(ValueError, match=said):
        config.source(0)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"emission": "photons"}, "counts, gaussian, clean"),
        ({"emission": "gaussian", "nonlinearity": "softplus"}, "nonlinearity is a setting of counts"),
        ({"emission": "clean", "signal_to_noise": 3.0}, "emission=gaussian"),
        ({"emission": "gaussian", "signal_to_noise": 0.0}, "above 0"),
    ],
)
def test_emissions_refuse_what_they_have_no_use_for(settings, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        record(tmp_path / "r.h5", SMALL["double_well"], **settings)


@pytest.mark.parametrize("name", SMALL)
def test_the_file_is_the_same_however_trials_are_cut(name, tmp_path):
    digests = set()
    for cut in (1, 7, 100):
        settings = ObservationConfig(held_in=3, held_out=1, embedding=LinearConfig())
        path = tmp_path / f"{cut}.h5"
        simulate(SMALL[name].source(0), path, settings, seed=0, chunk_trials=cut, producer="tests")
        with cc.open(path) as file:
            digests.add(file.digest)
    assert len(digests) == 1
