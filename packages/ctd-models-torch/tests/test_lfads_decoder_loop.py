"""LFADS's decoder: the fast loop against the plain one, and what both promise."""

import pytest
import torch

from ctd_contract.torch.random import generator
from ctd_contract.torch.sequences.workspace import Workspace
from ctd_models_torch.lfads.decoder_loop import backward, block, compiled_block
from ctd_models_torch.lfads.decoder_loop.compiled_block import CompiledBlock
from ctd_models_torch.lfads.decoder_loop.decode import DecoderParameters, GRUWeights, decode

TRIALS, STATE, CONTROLLER, FACTORS, CONTROLS, EXTERNAL, ENCODED = 34, 6, 5, 3, 2, 2, 4
ALL = {
    "controller": True, "encoded": True, "external": True, "noise": True, "controller_mask": True,
    "factor_mask": True, "biases": True, "clip": 1.5, "reset": "before", "n_time": 11,
}  # fmt: skip


class Case:
    """Random parameters and arguments; ``leaves`` are those that take a gradient."""

    def __init__(self, *, trials=TRIALS, dtype=torch.float64, **changes):
        options = ALL | changes
        self.stream, self.dtype = generator(0, "decoder"), dtype
        self.leaves = {}
        columns = ENCODED if options["encoded"] and options["controller"] else 0
        inputs = (EXTERNAL if options["external"] else 0) + (CONTROLS if options["controller"] else 0)
        unit, head, arguments = None, (None, None), {}
        if options["controller"]:
            unit = self.unit("controller", columns + FACTORS, CONTROLLER, options["biases"])
            bias = self.leaf("control_bias", 2 * CONTROLS) if options["biases"] else None
            head = self.leaf("control_weight", 2 * CONTROLS, CONTROLLER), bias
            arguments = self.of_controller(trials, columns, options)
        generating = self.unit("generator", inputs, STATE, options["biases"])
        self.parameters = DecoderParameters(
            unit, *head, generating, self.leaf("factor_weight", FACTORS, STATE)
        )
        # Far beyond the clip, so that the first bin's is one that acts.
        self.arguments = arguments | {
            "generator_state": self.leaf("generator_state", trials, STATE, scale=3.0),
            **{name: options[name] for name in ("n_time", "clip", "reset")},
        }
        if options["external"]:
            self.arguments["external"] = self.leaf("external", trials, options["n_time"], EXTERNAL)
        if options["factor_mask"]:
            self.arguments["factor_mask"] = self.mask(trials, options["n_time"] + 1, STATE)

    def of_controller(self, trials, columns, options):
        time = options["n_time"]
        arguments = {"controller_state": self.leaf("controller_state", trials, CONTROLLER, scale=3.0)}
        if columns:
            arguments["encoded"] = self.leaf("encoded", trials, time, columns)
        if options["noise"]:
            arguments["noise"] = self.normal(trials, time, CONTROLS)
        if options["controller_mask"]:
            arguments["controller_mask"] = self.mask(trials, time, columns + FACTORS)
        return arguments

    def unit(self, name, inputs, size, biases):
        weight_input = self.leaf(f"{name}.weight_input", 3 * size, inputs) if inputs else None
        weight_state = self.leaf(f"{name}.weight_state", 3 * size, size)
        given = [self.leaf(f"{name}.bias_{end}", 3 * size) if biases else None for end in ("input", "state")]
        return GRUWeights(weight_input, weight_state, *given)

    def normal(self, *shape):
        return torch.randn(*shape, generator=self.stream, dtype=self.dtype)

    def mask(self, *shape):
        return torch.bernoulli(torch.full(shape, 0.7, dtype=self.dtype), generator=self.stream) / 0.7

    def leaf(self, name, *shape, scale=0.5):
        self.leaves[name] = (scale * self.normal(*shape)).requires_grad_()
        return self.leaves[name]

    def decode(self, backend="fast"):
        return decode(self.parameters, **self.arguments, backend=backend)

    def gradients(self, backend, outputs=range(6)):
        """Loss, in which every entry has a weight of its own, outputs and all gradients."""
        decoded = self.decode(backend)
        stream, loss = generator(1, "weights"), 0.0
        for index, values in enumerate(decoded):
            if values is not None:
                weights = torch.randn(values.shape, generator=stream, dtype=self.dtype)
                loss = loss + ((values * weights).sum() if index in outputs else 0.0)
        grads = torch.autograd.grad(loss, list(self.leaves.values()), materialize_grads=True)
        values = {name: value for name, value in decoded._asdict().items() if value is not None}
        return {"loss": loss, **values, **dict(zip(self.leaves, grads, strict=True))}


def assert_equal(fast, plain, tolerance=1e-9):
    assert fast.keys() == plain.keys()
    for name, expected in plain.items():
        difference = (fast[name] - expected).abs().max()
        assert difference <= tolerance * expected.abs().max(), name


CHANGES = [
    {name: value}
    for name, values in {
        "controller": [False], "encoded": [False], "external": [False], "noise": [False],
        "controller_mask": [False], "factor_mask": [False], "biases": [False], "clip": [None, 0.3],
        "n_time": [1, 8, 17],
    }.items()
    for value in values
]  # fmt: skip


@pytest.fixture
def operations(monkeypatch):
    """Loops of torch's operations, as on a GPU, where compiled ones would be taken."""
    monkeypatch.setattr(CompiledBlock, "takes", lambda *_: False)


@pytest.mark.parametrize("reset", ["before", "after"])
@pytest.mark.parametrize("change", [{}, *CHANGES], ids=str)
def test_fast_is_plain(change, reset):
    case = Case(**change, reset=reset)
    assert_equal(case.gradients("fast"), case.gradients("plain"))


@pytest.mark.parametrize("change", [{}, *CHANGES], ids=str)
def test_loops_of_operations_are_plain(operations, change):
    case = Case(**change)
    assert_equal(case.gradients("fast"), case.gradients("plain"))


@pytest.mark.parametrize("change", [{}, {"factor_mask": False}], ids=str)
def test_fast_is_plain_in_single_precision(change):
    case = Case(**change, dtype=torch.float32)
    assert_equal(case.gradients("fast"), case.gradients("plain"), tolerance=1e-5)


def test_gradients_can_be_found_twice():
    case = Case()
    loss = sum(values.sum() for values in case.decode())
    first, second = (
        torch.autograd.grad(loss, list(case.leaves.values()), retain_graph=True) for _ in range(2)
    )
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_what_is_not_a_number_stays_so():
    case = Case(dtype=torch.float32)
    with torch.no_grad():
        case.arguments["encoded"][3, 5] = torch.nan
    decoded = case.decode()
    for values in decoded:
        assert values[3, 5:].isnan().any(dim=1).all()
        assert not values[:3].isnan().any()
        assert not values[3, :5].isnan().any()


@pytest.mark.parametrize("reset", ["before", "after"])
def test_fast_is_plain_without_anything_optional(reset):
    names = ("external", "encoded", "noise", "controller_mask", "factor_mask", "biases")
    for controller in (True, False):
        case = Case(controller=controller, clip=None, reset=reset, **dict.fromkeys(names, False))
        assert_equal(case.gradients("fast"), case.gradients("plain"))


@pytest.mark.parametrize("output", range(6))
def test_a_gradient_may_arrive_at_any_output_alone(output):
    case = Case()
    assert_equal(case.gradients("fast", [output]), case.gradients("plain", [output]))


def test_single_precision_agrees():
    case = Case(dtype=torch.float32)
    assert_equal(case.gradients("fast"), case.gradients("plain"), 1e-4)


@pytest.mark.parametrize("reset", ["before", "after"])
def test_gradients_are_those_of_finite_differences(reset):
    case = Case(trials=2, n_time=3, reset=reset)
    names = list(case.leaves)

    def outputs(*_):
        return tuple(case.decode())

    assert torch.autograd.gradcheck(outputs, tuple(case.leaves[name] for name in names))


def test_no_gradients_no_difference():
    """Without gradients only a chunk of bins is held, with the same results."""
    case = Case(n_time=29)
    with_gradients = case.decode()
    with torch.no_grad():
        without = case.decode()
    for first, second in zip(with_gradients, without, strict=True):
        assert torch.equal(first, second)


def test_frozen_arguments_are_left_alone():
    case = Case()
    expected = case.gradients("fast")
    frozen = ("encoded", "external", "controller_state")
    for name in frozen:
        case.leaves.pop(name).requires_grad_(False)
    left = {name: value for name, value in expected.items() if name not in frozen}
    assert_equal(case.gradients("fast"), left)


def test_masks_never_reach_what_is_carried_on():
    """States are the same whatever the factors' mask does, where nothing reads factors."""
    case = Case(controller=False)
    masked = case.decode()
    del case.arguments["factor_mask"]
    torch.testing.assert_close(masked.states, case.decode().states)


def test_masked_factors_and_controls_are_as_defined():
    case = Case()
    found, weights = case.decode(), case.parameters
    mask, noise = case.arguments["factor_mask"], case.arguments["noise"]
    torch.testing.assert_close(found.factors, (mask[:, 1:] * found.states) @ weights.factor_weight.T)
    std = (0.5 * found.control_log_variance).exp()
    torch.testing.assert_close(found.controls, found.control_mean + std * noise)
    statistics = torch.cat([found.control_mean, found.control_log_variance], dim=2)
    head = found.controller_states @ weights.control_weight.T + weights.control_bias
    torch.testing.assert_close(statistics, head)
    assert found.states.abs().max() <= ALL["clip"]
    assert found.controller_states.abs().max() <= ALL["clip"]


def test_later_bins_never_reach_earlier_ones():
    case = Case()
    before = case.decode()
    with torch.no_grad():
        for name in ("encoded", "external", "noise", "controller_mask"):
            case.arguments[name][:, 5:] = 7.0
        case.arguments["factor_mask"][:, 6:] = 7.0
    after = case.decode()
    for first, second in zip(before, after, strict=True):
        assert torch.equal(first[:, :5], second[:, :5])
        assert not torch.equal(first[:, 5:], second[:, 5:])


def workspaces(monkeypatch, *parts):
    """Numbers that modules ask for in passes over 40, 80 and 160 bins."""
    asked = {}

    def record(part):
        def workspace(numbers, like):
            asked.setdefault(part.__name__, []).append(numbers)
            return Workspace(numbers, like)

        monkeypatch.setattr(part, "Workspace", workspace)

    for part in parts:
        record(part)
    for n_time in (40, 80, 160):
        Case(n_time=n_time).gradients("fast")
    return [asked[part.__name__] for part in parts]


def test_memory_grows_with_bins_and_not_faster(monkeypatch):
    """One bin's rows before the first and after each, and nothing else."""
    [(short, middle, long)] = workspaces(monkeypatch, compiled_block)
    assert long - middle == 2 * (middle - short)


def test_memory_of_operations_grows_with_bins_and_not_faster(operations, monkeypatch):
    """What is kept from forward to backward is linear in the bins, and backward adds one chunk's worth."""
    (short, middle, long), back = workspaces(monkeypatch, block, backward)
    assert long - middle == 2 * (middle - short)
    assert len(set(back)) == 1


WRONG = {
    "too many encoded columns": ("encoded", torch.zeros(TRIALS, 11, ENCODED + 1)),
    "no encoded columns": ("encoded", None),
    "no mask of the initial factors": ("factor_mask", torch.ones(TRIALS, 11, STATE)),
    "noise of other controls": ("noise", torch.zeros(TRIALS, 11, CONTROLS + 1)),
    "noise that takes a gradient": ("noise", torch.zeros(TRIALS, 11, CONTROLS, requires_grad=True)),
    "external inputs without weights": ("external", torch.zeros(TRIALS, 11, EXTERNAL + 1)),
    "a controller without a state": ("controller_state", None),
    "reset": ("reset", "never"),
    "no bins": ("n_time", 0),
    "a clip of nothing": ("clip", 0.0),
    "backend": ("backend", "fastest"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_does_not_fit_is_refused(wrong):
    name, value = WRONG[wrong]
    case = Case()
    case.arguments[name] = value
    with pytest.raises(ValueError, match=name):
        decode(case.parameters, **({"backend": "fast"} | case.arguments))


def test_what_nothing_uses_is_refused():
    case = Case(controller=False)
    case.arguments["noise"] = torch.zeros(TRIALS, ALL["n_time"], CONTROLS)
    with pytest.raises(ValueError, match="noise: nothing uses this without a controller"):
        case.decode()
