"""Several recordings in one model: what they share, what is their own, and how they are trained on."""

from contextlib import ExitStack

import pytest
import torch
from session_toys import quick_fit, small_lfads, two_days
from toys import draw

from ctd_contract.command.sessions import session_names
from ctd_contract.testing import make_recording
from ctd_models_torch.batch import Batch
from ctd_models_torch.config import GRUConfig, LinearReadoutConfig, RecordingConfig
from ctd_models_torch.errors import InputError
from ctd_models_torch.fitting import fit, prepare_all
from ctd_models_torch.lfads.config import AugmentationConfig, ControllerConfig, PriorConfig
from ctd_models_torch.lfads.read_in_config import ReadInConfig
from ctd_models_torch.sessions.batches import BalancedBatches, SuccessiveBatches
from ctd_models_torch.sessions.recordings import open_recordings

CPU = torch.device("cpu")
CONTROLLER = ControllerConfig(size=4, controls=2, encoder_size=3)


@pytest.fixture
def days(tmp_path):
    return two_days(tmp_path)


@pytest.fixture
def opened(days):
    with ExitStack() as stack:
        yield open_recordings(days, RecordingConfig(), stack)


def model_of(recordings, **settings):
    module, _ = prepare_all(recordings, small_lfads(**settings), LinearReadoutConfig(), quick_fit(), 0)
    return module.model


def batches_of(recordings, trials=6) -> list[Batch]:
    return [Batch.of(recording.read(recording.rows("train")[:trials])) for recording in recordings]


def loss_of(model, batches, **options):
    terms = model.session_losses(batches, options.get("draw", draw), n_time=15, epoch=9)
    return torch.stack(list(terms.values())).sum()


@pytest.mark.parametrize("controller", [ControllerConfig(), CONTROLLER])
def test_what_is_a_recordings_own_gets_no_gradient_from_another(controller, opened):
    model, batches = model_of(opened, controller=controller, dropout=0.1), batches_of(opened)
    gradients = []
    for data in (batches[1].data, 5.0 - batches[1].data):
        changed = Batch.of({**opened[1].read(batches[1].rows.numpy()), "data": data})
        model.zero_grad()
        loss_of(model, [batches[0], changed]).backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters()})
    same = {name for name in gradients[0] if torch.equal(gradients[0][name], gradients[1][name])}
    own = {name for name in gradients[0] if name.startswith("sessions.0.")}
    assert own
    assert {name for name in same if gradients[0][name].any()} == own


def test_the_loss_is_the_mean_over_recordings_of_what_each_has_alone(opened):
    """Nothing is drawn here, so that one pass over both is two passes; trials needn't be as many."""
    quiet = {"initial_prior": PriorConfig("none"), "coordinated_dropout": 0.0}
    model = model_of(opened, **quiet)
    batches = [batches_of(opened, 6)[0], batches_of(opened, 9)[1]]
    alone = [
        model.one_session(index).losses(batch, draw, n_time=15, epoch=9)["reconstruction"]
        for index, batch in enumerate(batches)
    ]
    torch.testing.assert_close(loss_of(model, batches), torch.stack(alone).mean())


def test_recordings_draw_what_is_their_own_from_streams_of_their_own(opened):
    names = []

    def noting(name):
        names.append(name)
        return draw(name)

    settings = {"augmentation": AugmentationConfig(jitter_bins=1), "dropout": 0.1, "controller": CONTROLLER}
    loss_of(model_of(opened, **settings), batches_of(opened), draw=noting)
    own = ("spike jitter", "coordinated dropout")
    assert sorted(names) == sorted(
        [f"{name} of {day}" for name in own for day in ("monday", "tuesday")]
        + ["dropout", "initial condition", "inferred inputs"]
    )


def test_initial_weights_depend_on_no_other_recording(days, opened, tmp_path):
    third = make_recording(
        tmp_path / "early.h5", n_time=15, n_forward=2, n_trials=20, n_neurons=5, name="friday"
    )
    with ExitStack() as stack:
        three = model_of(open_recordings([*days, third], RecordingConfig(), stack)).state_dict()
    two = model_of(opened).state_dict()
    for name, value in two.items():
        part, _, rest = name.partition(".")
        moved = f"sessions.{int(rest[0]) + 1}{rest[1:]}" if part == "sessions" else name
        assert torch.equal(value, three[moved]), name


def test_every_step_has_its_share_of_every_recording(opened):
    batches = BalancedBatches(opened, 9, seed=3)
    first, second = (recording.rows("train").tolist() for recording in opened)
    assert (len(first), len(second)) == (28, 18)
    assert batches.shares == [5, 4]
    assert len(batches) == 6
    steps = [Batch.of_sessions(step) for step in batches.epoch(2, CPU)]
    assert [[len(own) for own in step.values()] for step in steps] == [[5, 4]] * 6
    for index, rows in enumerate((first, second)):
        order = torch.cat([step[index].rows for step in steps]).tolist()
        whole = len(rows)
        assert sorted(order[:whole]) == rows, "all of them before one comes again"
        assert len(set(order[whole:])) == len(order) - whole
        assert order[:2] != order[whole : whole + 2]
    again = [step[1].rows for step in map(Batch.of_sessions, batches.epoch(2, CPU))]
    assert all(torch.equal(one, step[1].rows) for one, step in zip(again, steps, strict=True))
    other = Batch.of_sessions(next(iter(batches.epoch(3, CPU))))
    assert not torch.equal(other[0].rows, steps[0][0].rows)


def test_checks_see_each_recordings_trials_once(opened):
    each = [recording.batches(recording.rows("valid"), 2) for recording in opened]
    batches = SuccessiveBatches(each)
    seen = {0: [], 1: []}
    for tensors in batches.epoch(0, CPU):
        ((index, batch),) = Batch.of_sessions(tensors).items()
        seen[index] += batch.rows.tolist()
    assert len(batches) == len(list(batches.epoch(0, CPU)))
    assert [seen[index] for index in (0, 1)] == [r.rows("valid").tolist() for r in opened]


def test_names_differ_and_suit_files():
    assert session_names(["a b/c", "day 2"]) == ["a-b-c", "day-2"]
    assert session_names(["m", "n", "m"]) == ["m-1", "n", "m-2"]
    assert len(set(session_names(["a", "a", "a-1", "../"]))) == 4
    assert session_names(["Größe"]) == ["Größe"]


def test_memory_is_for_all_recordings_together(days):
    sizes = []
    for budget in (4096, 0):
        with ExitStack() as stack:
            found = open_recordings(days, RecordingConfig(memory_mb=budget), stack)
            assert [recording.in_memory for recording in found] == [budget > 0] * 2
            sizes = [recording.n_bytes for recording in found]
    assert sizes[1] < sizes[0]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"n_inputs": 3}, "number of input channels: 2 and 3"),
        ({"bin_width_s": 0.02}, r"bin width in s: 0.01 and 0.02"),
        ({"n_time": 17}, "number of bins: 15 and 17"),
        ({"n_forward": 3}, r"forward bins: \[13, 14\] and \[12, 13, 14\]"),
        ({"continuous": True}, "observations: spikes and activity"),
        ({"n_inputs": 0}, "tuesday.h5 has no channels"),
    ],
)
def test_recordings_that_do_not_fit_together_are_refused(changes, what, tmp_path):
    with ExitStack() as stack, pytest.raises(InputError, match=what):
        open_recordings(two_days(tmp_path, **changes), RecordingConfig(), stack)


def test_what_a_fit_of_several_cannot_be_is_refused(days, tmp_path):
    def refused(match, recordings=days, model=None, **training):
        settings = quick_fit(**training)
        with pytest.raises(InputError, match=match):
            fit(recordings, tmp_path / "run", model=model or small_lfads(), training=settings)

    refused("training.batch_size=1 is less than the 2 recordings", batch_size=1)
    refused(
        "tuesday.h5: its share of training.batch_size=40 is 20 trials, more than the 18 .* at most 36",
        batch_size=40,
    )
    refused("model=gru is fitted to one recording, got 2: model=lfads.* takes several", model=GRUConfig())
    refused("monday.h5 and .*monday.h5 are the same recording", [*days, days[0]])
    refused("no recording was given", [])
    refused(
        "read_in.size=0 gives encoders the neurons themselves, and the recordings monday, tuesday differ",
        model=small_lfads(read_in=ReadInConfig(0)),
    )


def test_recordings_of_the_same_neurons_need_no_read_in(tmp_path):
    days = [
        make_recording(tmp_path / f"{name}.h5", n_time=15, n_trials=20, name=name, seed=seed)
        for seed, name in enumerate(("a", "b"))
    ]
    model = small_lfads(read_in=ReadInConfig(0))
    fitted = fit(days, tmp_path / "run", model=model, training=quick_fit(max_epochs=1))
    assert not any("read_in" in name for name in fitted.saved.model.state_dict())


def test_one_recording_may_be_read_in(days, tmp_path):
    model = small_lfads(read_in=ReadInConfig(4))
    fitted = fit(days[0], tmp_path / "run", model=model, training=quick_fit(max_epochs=1))
    weights = fitted.saved.model.state_dict()
    assert weights["sessions.0.read_in.weight"].shape == (4, 6)
    assert weights["encoder.forwards.weight_input"].shape == (12, 4)
