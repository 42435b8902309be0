"""Toy files of each kind, a few KiB each, whose truth is known exactly."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ctd_contract import reader, writer
from ctd_contract.dynamics import Affine, Opaque, Probe
from ctd_contract.provenance import Parent
from ctd_contract.readout import Layer, Readout

from .system import Trajectories, simulate

PRODUCER = "ctd-contract.testing 1"


def make_task(
    path: str | os.PathLike[str],
    *,
    n_trials: int = 20,
    n_time: int = 30,
    n_states: int = 4,
    n_inputs: int = 2,
    seed: int = 0,
    system: str = "gru",
    lengths: bool = False,
    bin_width_s: float = 0.01,
    name: str = "toy task",
    overwrite: bool = False,
) -> Path:
    """Write a toy task file: a small network that adds up its inputs' pulses.

    Arguments:
        path: The file to write.
        n_trials: Number of trials.
        n_time: Number of bins.
        n_states: Number of units.
        n_inputs: Number of input channels; there are as many outputs and targets.
        seed: Seed of everything in it.
        system: ``gru`` or ``affine``.
        lengths: Give trials different lengths, the rest padded with zeros.
        bin_width_s: Width of a bin in s.
        name: Name of the task.
        overwrite: Replace an existing file.

    Returns:
        The path.
    """
    random = np.random.default_rng(seed)
    run = simulate(system, n_trials, n_time, n_states, n_inputs, random)
    bins = _lengths(n_trials, n_time, random) if lengths else None
    weight = random.normal(size=(n_inputs, n_states))
    with writer.create(
        path,
        "task",
        name=name,
        producer=PRODUCER,
        trial=n_trials,
        time=np.arange(n_time) * bin_width_s,
        bin_width_s=bin_width_s,
        seed=seed,
        config={"system": system},
        overwrite=overwrite,
    ) as file:
        _trials(file, n_trials, n_time, bins, random)
        file.signal("inputs", _padded(run.inputs, bins))
        file.signal("inputs_clean", _padded(run.inputs_clean, bins))
        file.signal("targets", _padded(np.clip(np.cumsum(run.inputs_clean, axis=1), -1, 1), bins))
        file.signal("outputs", _padded(run.states @ weight.T, bins))
        file.signal("states", _padded(run.states, bins))
        file.signal("initial_state", run.initial_state)
        file.names("input", [f"pulse {index}" for index in range(n_inputs)])
        file.dynamics(run.dynamics, run.probe())
        file.readout(Readout([Layer(weight)]))
    return Path(path)


def make_recording(
    path: str | os.PathLike[str],
    *,
    n_trials: int = 20,
    n_time: int = 30,
    n_neurons: int = 8,
    n_held_out: int = 2,
    n_states: int = 4,
    n_inputs: int = 2,
    n_forward: int = 0,
    seed: int = 0,
    system: str = "affine",
    mean_rate_hz: float = 20.0,
    bin_width_s: float = 0.01,
    lengths: bool = False,
    truth: bool = True,
    continuous: bool = False,
    behavior: bool = True,
    name: str = "toy recording",
    parents: tuple[Parent, ...] = (),
    overwrite: bool = False,
) -> Path:
    """Write a toy recording: Poisson spikes of known rates, exp of a linear map of a system's states.

    Arguments:
        path: The file to write.
        n_trials: Number of trials.
        n_time: Number of bins.
        n_neurons: Number of neurons.
        n_states: Number of states.
        n_inputs: Number of input channels.
        n_held_out: How many neurons, the last ones, are held out.
        n_forward: How many bins, the last ones, are to be predicted.
        seed: Seed of everything in it.
        system: ``affine`` or ``gru``.
        mean_rate_hz: Mean rate of each neuron in spikes/s.
        bin_width_s: Width of a bin in s.
        lengths: Give trials different lengths, the rest padded with zeros.
        truth: Store rates, states, inputs, dynamics and readout under ``/truth``.
        continuous: Gaussian ``activity`` around the log rates instead of spikes.
        behavior: Store two behavioural channels, the first two states, NaN in the first bin.
        name: Name of the recording.
        parents: Files that it is made from.
        overwrite: Replace an existing file.

    Returns:
        The path.
    """
    random = np.random.default_rng(seed)
    run = simulate(system, n_trials, n_time, n_states, n_inputs, random)
    bins = _lengths(n_trials, n_time, random) if lengths else None
    readout = _readout(run, n_neurons, mean_rate_hz, random)
    rates = readout.evaluate(run.states)
    with writer.create(
        path,
        "recording",
        name=name,
        producer=PRODUCER,
        trial=np.arange(n_trials) + 100,
        time=np.arange(n_time) * bin_width_s,
        bin_width_s=bin_width_s,
        axes={"neuron": n_neurons},
        seed=seed,
        config={"system": system},
        parents=parents,
        overwrite=overwrite,
    ) as file:
        _trials(file, n_trials, n_time, bins, random)
        file.column("neurons", "held_out", np.arange(n_neurons) >= n_neurons - n_held_out)
        if n_forward:
            file.column("times", "forward", np.arange(n_time) >= n_time - n_forward)
        if continuous:
            activity = np.log(rates) + 0.3 * random.normal(size=rates.shape)
            file.signal("activity", _padded(activity, bins), unit="log(spikes/s)")
        else:
            file.signal("spikes", _padded(random.poisson(rates * bin_width_s), bins))
        file.signal("inputs", _padded(run.inputs, bins))
        if behavior:
            position = run.states[..., :2].copy()
            position[:, 0] = np.nan
            file.signal("behavior", _padded(position, bins), unit="cm")
        if truth:
            file.truth("rates", _padded(rates, bins))
            file.truth("states", _padded(run.states, bins))
            file.truth("initial_state", run.initial_state)
            file.truth("inputs", _padded(run.inputs, bins))
            file.truth_dynamics(run.dynamics, run.probe())
            file.truth_readout(readout)
    return Path(path)


def make_inference(
    path: str | os.PathLike[str],
    recording: str | os.PathLike[str],
    *,
    noise: float = 0.05,
    seed: int = 0,
    name: str = "toy model",
    overwrite: bool = False,
) -> Path:
    """Write a toy inference of a recording: the truth, its states turned, with a little noise on the rates.

    Of an affine truth the dynamics are the true ones in the turned coordinates; of any other the states
    aren't turned and the dynamics are the true ones. Without truth the rates are each neuron's mean
    and the dynamics opaque.

    Arguments:
        path: The file to write.
        recording: The recording that was inferred from.
        noise: Standard deviation of the noise on log rates.
        seed: Seed of the turn and the noise.
        name: Name of the model.
        overwrite: Replace an existing file.

    Returns:
        The path.
    """
    random = np.random.default_rng(seed)
    with reader.open(recording) as source:
        bins = source.lengths if "length" in source.tables["trials"] else None
        with writer.create(
            path,
            "inference",
            name=name,
            producer=PRODUCER,
            trial=source.axis("trial"),
            time=source.time,
            bin_width_s=source.bin_width_s,
            axes={"neuron": source.axis("neuron")},
            seed=seed,
            config={"noise": noise},
            parents=[source.parent("recording")],
            overwrite=overwrite,
        ) as file:
            for column in ("split", "length"):
                if column in source.tables["trials"]:
                    file.column("trials", column, source.tables["trials"][column])
            file.column("neurons", "held_out", source.held_out)
            dynamics = source.truth_dynamics()
            if dynamics is None:
                _infer_means(file, source, bins)
                return Path(path)
            turn = np.eye(dynamics.state_size)
            if isinstance(dynamics, Affine):
                turn = np.linalg.qr(random.normal(size=turn.shape))[0]
                dynamics = Affine(turn @ dynamics.A @ turn.T, turn @ dynamics.B, turn @ dynamics.c)
            states, inputs = source.truth["states"][:] @ turn.T, source.truth["inputs"][:]
            rates = source.truth["rates"][:]
            rates = rates * np.exp(noise * random.normal(size=rates.shape))
            file.signal("rates", _padded(rates, bins))
            file.signal("states", _padded(states, bins))
            file.signal("initial_state", source.truth["initial_state"][:] @ turn.T)
            file.signal("inputs", inputs)
            state, following = Probe.points(states, inputs)
            file.dynamics(dynamics, Probe(state, following, dynamics.step(state, following)))
            readout = source.truth_readout()
            if readout is not None:
                first, *rest = readout.layers
                turned = Layer(first.weight @ turn.T, first.bias, first.nonlinearity)
                file.readout(Readout([turned, *rest], scale=readout.scale))
    return Path(path)


def _infer_means(file: writer.Writer, source: reader.ContractFile, bins: np.ndarray | None) -> None:
    valid = source.valid_bins()
    if "spikes" in source.signals:
        mean = source.signals["spikes"][:][valid].mean(axis=0) / source.bin_width_s
        shape = source.signals["spikes"].shape
        file.signal("rates", _padded(np.broadcast_to(mean, shape), bins))
    else:
        activity = source.signals["activity"]
        mean = activity[:][valid].mean(axis=0)
        values = _padded(np.broadcast_to(mean, activity.shape), bins)
        file.signal("activity_prediction", values, unit=activity.unit)
    file.dynamics(Opaque())
    file.readout(Readout.opaque())


def _trials(
    file: writer.Writer, n_trials: int, n_time: int, bins: np.ndarray | None, random: np.random.Generator
) -> None:
    """Splits of 70, 10 and 20 %, two conditions, a phase, and lengths where there are any."""
    order = random.permutation(n_trials)
    split = np.select([order < 0.7 * n_trials, order < 0.8 * n_trials], [0, 1], 2)
    file.column("trials", "split", split)
    file.column("trials", "condition", np.arange(n_trials) % 2)
    file.names("condition", ["left", "right"])
    if bins is not None:
        file.column("trials", "length", bins)
    stop = np.full(n_trials, n_time) if bins is None else bins
    file.phase("go", np.stack([np.full(n_trials, n_time // 3), stop], axis=1))


def _readout(run: Trajectories, n_neurons: int, mean_rate_hz: float, random: np.random.Generator) -> Readout:
    weight = random.normal(size=(n_neurons, run.states.shape[-1]))
    drive = run.states @ weight.T
    weight *= 0.6 / np.maximum(drive.std(axis=(0, 1)), 1e-9)[:, None]
    bias = np.log(mean_rate_hz / np.exp(run.states @ weight.T).mean(axis=(0, 1)))
    return Readout([Layer(weight, bias, "exp")])


def _lengths(n_trials: int, n_time: int, random: np.random.Generator) -> np.ndarray:
    bins = random.integers(n_time // 2, n_time + 1, size=n_trials)
    bins[0] = n_time
    return bins


def _padded(values: np.ndarray, bins: np.ndarray | None) -> np.ndarray:
    """`values` (trial, time, ...) with zeros past each trial's length."""
    if bins is None:
        return values
    valid = np.arange(values.shape[1]) < bins[:, None]
    return np.where(valid.reshape(*valid.shape, *(1,) * (values.ndim - 2)), values, 0)
