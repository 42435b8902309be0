"""What a user says of a source: its names, which trials of it, and what is drawn."""

import h5py
import numpy as np
import pytest
from scipy.io import savemat

import ctd_contract as cc
from ctd_contract.cli import main
from ctd_contract.convert import Design, Labels, Selection, convert
from ctd_contract.validation import validate

RNG = np.random.default_rng(1)
N_TRIALS, N_TIME, N_CHANNELS = 30, 9, 6
COUNTS = RNG.poisson(1.5, (N_TRIALS, N_TIME, N_CHANNELS)).astype(np.uint8)
VELOCITY = RNG.normal(size=(N_TRIALS, N_TIME, 2))
TARGETS = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.5]])
LENGTHS = np.where(np.arange(N_TRIALS) % 5 == 4, 6, N_TIME)
KINDS = np.array(["warmup", "task", "probe"])[np.arange(N_TRIALS) // 10]


def structures(path):
    """A structure array with an element for each trial, as laboratories save them."""
    types = [(name, object) for name in ("counts", "vel", "target", "type", "success", "id")]
    data = np.empty((1, N_TRIALS), dtype=types)
    for i, length in enumerate(LENGTHS):
        element = (COUNTS[i, :length], VELOCITY[i, :length], TARGETS[i % 3][:, None], KINDS[i], i % 7 != 0)
        data[0, i] = (*element, 100 + i)
    savemat(path, {"trials": data, "good": [1, 2, 4, 6], "settings": {"nested": {"x": 1}}})
    return path


def converted(source, tmp_path, bin_width_s=0.02, **options):
    convert(source, tmp_path / "out.h5", overwrite=True, bin_width_s=bin_width_s, **options)
    assert validate(tmp_path / "out.h5") == []
    return cc.open(tmp_path / "out.h5")


def savez(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_structures_by_the_users_names(tmp_path, capsys):
    source = structures(tmp_path / "session.mat")
    arguments = (
        "--map spikes=trials.counts --map behavior=trials.vel --map condition=trials.target --map "
        "trial=trials.id --map trials/block=trials.type --map trials/target=trials.target --neurons good "
        "--bins 8 --where trials.type=task,probe --where trials.success=1 --scale behavior=1,-2 --unit "
        "behavior=mm/s --channels behavior=x,y --name reach --bin-width 0.045"
    )
    assert main(["convert", str(source), str(tmp_path / "out.h5"), *arguments.split()]) == 0
    assert capsys.readouterr().err == ""
    kept = (LENGTHS >= 8) & (KINDS != "warmup") & (np.arange(N_TRIALS) % 7 != 0)
    assert 5 < kept.sum() < 20
    with cc.open(tmp_path / "out.h5") as file:
        assert file.name == "reach"
        np.testing.assert_array_equal(file.signals["spikes"][:], COUNTS[kept][:, :8][..., [0, 1, 3, 5]])
        np.testing.assert_array_equal(file.axis("neuron"), [1, 2, 4, 6])
        np.testing.assert_allclose(file.signals["behavior"][:], VELOCITY[kept][:, :8] * [1, -2], rtol=1e-6)
        assert file.signals["behavior"].unit == "mm/s"
        assert file.names("behavior") == ["x", "y"]
        np.testing.assert_array_equal(file.axis("trial"), 100 + np.flatnonzero(kept))
        trials = file.tables["trials"]
        assert trials["block"].tolist() == KINDS[kept].tolist()
        assert file.names("condition") == ["(-1, 0)", "(0, 1.5)", "(1, 0)"]
        np.testing.assert_array_equal(trials["condition"], np.array([2, 0, 1])[np.flatnonzero(kept) % 3])
        np.testing.assert_allclose(trials["target_1"], TARGETS[np.flatnonzero(kept) % 3, 1])
        config = file.provenance.config
        assert config["where"] == {"trials.type": ["task", "probe"], "trials.success": ["1"]}
        assert config["names"]["spikes"] == ["trials.counts"]


def test_structures_of_version_73(tmp_path):
    """A structure is a group; the fields of a structure array are references."""
    with h5py.File(tmp_path / "a.mat", "w") as file:
        for i in range(5):
            file[f"#refs#/{i}"] = COUNTS[i].T
        cells = np.array([[file[f"#refs#/{i}"].ref] for i in range(5)], h5py.ref_dtype)
        file.create_dataset("data/counts", data=cells)
        file["data/velocity"] = VELOCITY[:5].T
    chosen = Selection(names={"spikes": ("data.counts",), "behavior": ("data.velocity",)})
    with converted(tmp_path / "a.mat", tmp_path, selection=chosen) as file:
        np.testing.assert_array_equal(file.signals["spikes"][:], COUNTS[:5])
        np.testing.assert_allclose(file.signals["behavior"][:], VELOCITY[:5], rtol=1e-6)


def test_rows_of_trials_joined_over_variables(tmp_path):
    """Rows (trial and bin, channel) of several areas, less their mean: counts up to an offset come back."""
    areas = np.split(COUNTS.astype(float), [4], axis=2)
    rows = [(area - area.mean(0)).reshape(-1, area.shape[2]) for area in areas]
    savemat(tmp_path / "a.mat", {"X": rows[0], "Y": rows[1]})
    chosen = Selection(names={"spikes": ("X", "Y")}, bins_per_trial=N_TIME, residuals=True)
    design = Design(regions={"V1": 4, "V2": 2}, held_out=0.5)
    with converted(tmp_path / "a.mat", tmp_path, selection=chosen, design=design) as file:
        np.testing.assert_array_equal(file.signals["spikes"][:], COUNTS - COUNTS.min(0))
        assert file.names("region") == ["V1", "V2"]
        region = file.tables["neurons"]["region"]
        np.testing.assert_array_equal(region, [0, 0, 0, 0, 1, 1])
        np.testing.assert_array_equal(np.bincount(region, file.held_out), [2, 1])


def test_residuals_that_are_no_counts_are_refused(tmp_path):
    source = savez(tmp_path / "a.npz", activity=VELOCITY)
    with pytest.raises(cc.ContractError, match="whole differences between trials"):
        convert(source, tmp_path / "b.h5", bin_width_s=0.01, selection=Selection(residuals=True))


def test_channels_first(tmp_path):
    source = savez(tmp_path / "a.npz", n=COUNTS.swapaxes(1, 2), kept=np.arange(6) > 1)
    chosen = Selection(names={"spikes": ("n",)}, channels_first=True, neurons="kept")
    with converted(source, tmp_path, selection=chosen) as file:
        np.testing.assert_array_equal(file.signals["spikes"][:], COUNTS[..., 2:])
        np.testing.assert_array_equal(file.axis("neuron"), [2, 3, 4, 5])


def test_names_of_conditions_and_regions(tmp_path):
    source = savez(
        tmp_path / "a.npz", spikes=COUNTS, condition=KINDS, region=np.array(list("bbbaab")), length=LENGTHS
    )
    with converted(source, tmp_path, selection=Selection(bins=7)) as file:
        assert file.names("condition") == ["probe", "task", "warmup"]
        assert file.names("region") == ["a", "b"]
        # Neurons of a region lie together; their ids say where they were.
        order = [3, 4, 0, 1, 2, 5]
        np.testing.assert_array_equal(file.tables["neurons"]["region"], [0, 0, 1, 1, 1, 1])
        np.testing.assert_array_equal(file.axis("neuron"), order)
        np.testing.assert_array_equal(file.signals["spikes"][:], COUNTS[LENGTHS >= 7][:, :7, order])


def test_draws_follow_the_seed_and_leave_each_other_alone(tmp_path):
    source = savez(tmp_path / "a.npz", spikes=COUNTS)

    def drawn(**options):
        with converted(source, tmp_path, design=Design(**options)) as file:
            return file.tables["trials"]["split"], file.held_out, file.forward

    split, held_out, forward = drawn(held_out=2, forward=3, test=0.3, valid=0.2)
    np.testing.assert_array_equal(np.bincount(split), [15, 6, 9])
    assert held_out.sum() == 2
    np.testing.assert_array_equal(np.flatnonzero(forward), [6, 7, 8])
    again, others, _ = drawn(held_out=3)
    np.testing.assert_array_equal(drawn(held_out=2)[1], held_out)
    np.testing.assert_array_equal(again, drawn()[0])
    assert others[held_out].all()
    assert any((drawn(held_out=2, seed=seed)[1] != held_out).any() for seed in (1, 2))


def test_two_splits_get_a_third_and_conditions_by_id(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["train_data"], file["valid_data"] = COUNTS[:20], COUNTS[20:]
        order = RNG.permutation(30)
        file["train_inds"], file["valid_inds"] = order[:20], order[20:]
    design = Design(valid=0.25, held_out=0.34, trials_per_condition=10)
    labels = Labels(name="lorenz", channels={"condition": ("a", "b", "c")})
    with converted(tmp_path / "a.h5", tmp_path, design=design, labels=labels) as file:
        np.testing.assert_array_equal(np.bincount(file.tables["trials"]["split"]), [15, 5, 10])
        assert file.split("test")[20:].all()
        np.testing.assert_array_equal(file.tables["trials"]["condition"], order // 10)
        assert file.names("condition") == ["a", "b", "c"]
        assert file.held_out.sum() == 2
        assert file.name == "lorenz"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--map spikes=trials.count", "trials.count, got counts, id, success"),
        ("--map spikes=trials", "a structure with fields"),
        ("--map spikes=trials.counts --where trials.type=rest", "rest, got values probe, task, warmup"),
        ("--map spikes=trials.counts --where good=1", "30 trials, got 4"),
        ("--map spikes=trials.counts --bins 10", "trials with at least 10 bins, got none"),
        ("--map spikes=trials.counts --neurons trials.id", "different channels from 1 to 6"),
        ("--map spikes=trials.counts --held-out 6", "fewer than 6 neurons, got 6"),
        ("--map spikes=trials.counts --held-out 2.5", "a number of neurons, or a share below 1"),
        ("--map spikes=trials.counts --forward 9", "fewer than 9 bins"),
        ("--map spikes=trials.counts --regions V1=4,V2=1", "add up to 6, got 5"),
        ("--map spikes=trials.counts --test 0.6 --valid 0.5", "leave trials to train"),
        ("--map spikes=trials.counts --scale behavior=2", "scale a signal that is there"),
        ("--map spikes=trials.counts --unit rates=Hz", "a unit of their own"),
        ("--map spikes=trials.counts --channels neuron=a,b", "6 of neuron, got 2 names of neuron"),
        ("--map spikes=trials.counts --bins-per-trial 3", "a list of trials"),
        ("--map spikes=trials.counts --trials-per-condition 0", "1 or more"),
        ("--map spikes=good,trials.counts", "that can be joined"),
        ("", "--map spikes=VARIABLE"),
    ],
)
def test_what_doesnt_fit_is_said(tmp_path, capsys, options, message):
    source = structures(tmp_path / "a.mat")
    target = tmp_path / "b.h5"
    assert main(["convert", str(source), str(target), "--bin-width", "0.01", *options.split()]) == 2
    assert message in capsys.readouterr().err
    assert not target.exists()


def test_options_without_a_meaning_are_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for split in ("train", "valid", "test"):
            file[f"{split}_encod_data"], file[f"{split}_recon_data"] = COUNTS[:10, :, :4], COUNTS[:10]
    for options, message in (
        ({"selection": Selection(names={"spikes": ("x",)}, bins=3)}, "--map, --bins"),
        ({"design": Design(test=0.3)}, "no test split of its own"),
        ({"design": Design(held_out=1)}, "held_out"),
    ):
        with pytest.raises(cc.ContractError, match=message):
            convert(tmp_path / "a.h5", tmp_path / "b.h5", bin_width_s=0.01, **options)
    convert(tmp_path / "a.h5", tmp_path / "b.h5", bin_width_s=0.01)
    with pytest.raises(cc.ContractError, match="--held-out, --name"):
        convert(tmp_path / "b.h5", tmp_path / "c.h5", design=Design(held_out=1), labels=Labels(name="x"))


def test_the_command_names_a_wrong_option(tmp_path, capsys):
    for options in (["--map", "spikes"], ["--scale", "behavior=x"], ["--regions", "V1"]):
        with pytest.raises(SystemExit) as left:
            main(["convert", str(tmp_path / "a.mat"), str(tmp_path / "b.h5"), *options])
        assert left.value.code == 2
        assert f"argument {options[0]}" in capsys.readouterr().err
