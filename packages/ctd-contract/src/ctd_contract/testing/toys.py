"""Toy files of each kind, a few KiB each, whose truth is known exactly."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ctd_contract import reader, writer
from ctd_contract.dynamics import Affine, Dynamics, Opaque, Probe
from ctd_contract.padding import zero_padding
from ctd_contract.provenance import Parent
from ctd_contract.readout import Layer, Readout

from .system import Trajectories, simulate

PRODUCER = "ctd-contract.testing 1"


@dataclass(frozen=True)
class _Toy:
    """A simulated system, and how its trials are written.

    Attributes:
        origin: The file's header about it.
        run: Its trajectories.
        lengths: (trial,) bins before the padding; None without.
        random: Stream of all that is drawn after it.
    """

    origin: dict[str, Any]
    run: Trajectories
    lengths: np.ndarray | None
    random: np.random.Generator

    @classmethod
    def simulate(
        cls, system: str, n_trials: int, n_time: int, n_states: int, n_inputs: int, lengths: bool, seed: int
    ) -> _Toy:
        random = np.random.default_rng(seed)
        run = simulate(system, n_trials, n_time, n_states, n_inputs, random)
        bins = None
        if lengths:
            bins = random.integers(n_time // 2, n_time + 1, size=n_trials)
            bins[0] = n_time
        return cls({"producer": PRODUCER, "seed": seed, "config": {"system": system}}, run, bins, random)

    def create(
        self, path: str | os.PathLike[str], kind: str, *, bin_width_s: float, **header: Any
    ) -> writer.Writer:
        time = np.arange(self.run.states.shape[1]) * bin_width_s
        return writer.create(path, kind, time=time, bin_width_s=bin_width_s, **self.origin, **header)

    def pad(self, values: np.ndarray) -> np.ndarray:
        return values if self.lengths is None else zero_padding(values, self.lengths)

    def write_trials(self, file: writer.Writer) -> None:
        """Splits of 70, 10 and 20 %, two conditions, a phase, and lengths where there are any."""
        n_trials, n_time = self.run.states.shape[:2]
        order = self.random.permutation(n_trials)
        split = np.select([order < 0.7 * n_trials, order < 0.8 * n_trials], [0, 1], 2)
        file.column("trials", "split", split)
        file.column("trials", "condition", np.arange(n_trials) % 2)
        file.names("condition", ["left", "right"])
        if self.lengths is not None:
            file.column("trials", "length", self.lengths)
        stop = np.full(n_trials, n_time) if self.lengths is None else self.lengths
        file.phase("go", np.stack([np.full(n_trials, n_time // 3), stop], axis=1))


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
    toy = _Toy.simulate(system, n_trials, n_time, n_states, n_inputs, lengths, seed)
    run = toy.run
    weight = toy.random.normal(size=(n_inputs, n_states))
    header = {"name": name, "bin_width_s": bin_width_s, "overwrite": overwrite}
    with toy.create(path, "task", trial=n_trials, **header) as file:
        toy.write_trials(file)
        file.signal("inputs", toy.pad(run.inputs))
        file.signal("inputs_clean", toy.pad(run.inputs_clean))
        file.signal("targets", toy.pad(np.clip(np.cumsum(run.inputs_clean, axis=1), -1, 1)))
        file.signal("outputs", toy.pad(run.states @ weight.T))
        file.signal("states", toy.pad(run.states))
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
    n_regions: int = 0,
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
        n_regions: Regions that the neurons lie in, called A, B, ...; 0 for none.
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
    toy = _Toy.simulate(system, n_trials, n_time, n_states, n_inputs, lengths, seed)
    readout, rates = _readout(toy, n_neurons, mean_rate_hz)
    header = {"name": name, "bin_width_s": bin_width_s, "parents": parents, "overwrite": overwrite}
    with toy.create(path, "recording", trial=np.arange(n_trials) + 100, **header) as file:
        toy.write_trials(file)
        file.column("neurons", "held_out", np.arange(n_neurons) >= n_neurons - n_held_out)
        if n_regions:
            file.axis("region", np.arange(n_regions))
            file.names("region", [chr(ord("A") + index) for index in range(n_regions)])
            file.column("neurons", "region", np.arange(n_neurons) * n_regions // n_neurons)
        if n_forward:
            file.column("times", "forward", np.arange(n_time) >= n_time - n_forward)
        _write_observed(file, toy, rates, None if continuous else bin_width_s, behavior)
        if truth:
            _write_truth(file, toy, rates, readout)
    return Path(path)


def _readout(toy: _Toy, n_neurons: int, mean_rate_hz: float) -> tuple[Readout, np.ndarray]:
    """A readout whose rates have that mean, and the rates."""
    states = toy.run.states
    weight = toy.random.normal(size=(n_neurons, states.shape[-1]))
    weight *= 0.6 / np.maximum((states @ weight.T).std(axis=(0, 1)), 1e-9)[:, None]
    bias = np.log(mean_rate_hz / np.exp(states @ weight.T).mean(axis=(0, 1)))
    readout = Readout([Layer(weight, bias, "exp")])
    return readout, readout.evaluate(states)


def _write_observed(
    file: writer.Writer, toy: _Toy, rates: np.ndarray, bin_width_s: float | None, behavior: bool
) -> None:
    """Inputs, behaviour, and spikes in bins of that width, or without one noisy log rates."""
    if bin_width_s is not None:
        file.signal("spikes", toy.pad(toy.random.poisson(rates * bin_width_s)))
    else:
        activity = np.log(rates) + 0.3 * toy.random.normal(size=rates.shape)
        file.signal("activity", toy.pad(activity), unit="log(spikes/s)")
    file.signal("inputs", toy.pad(toy.run.inputs))
    if behavior:
        position = toy.run.states[..., :2].copy()
        position[:, 0] = np.nan
        file.signal("behavior", toy.pad(position), unit="cm")


def _write_truth(file: writer.Writer, toy: _Toy, rates: np.ndarray, readout: Readout) -> None:
    file.truth("rates", toy.pad(rates))
    file.truth("states", toy.pad(toy.run.states))
    file.truth("initial_state", toy.run.initial_state)
    file.truth("inputs", toy.pad(toy.run.inputs))
    file.truth_dynamics(toy.run.dynamics, toy.run.probe())
    file.truth_readout(readout)


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
    with (
        reader.open(recording) as source,
        writer.create(
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
        ) as file,
    ):
        for column in ("split", "length"):
            if column in source.tables["trials"]:
                file.column("trials", column, source.tables["trials"][column])
        file.column("neurons", "held_out", source.held_out)
        dynamics = source.truth_dynamics()
        if dynamics is None:
            _infer_means(file, source)
        else:
            _infer_truth(file, source, dynamics, noise, random)
    return Path(path)


def _infer_means(file: writer.Writer, source: reader.ContractFile) -> None:
    spikes = "spikes" in source.signals
    recorded = source.signals["spikes" if spikes else "activity"]
    mean = recorded[:][source.valid_bins()].mean(axis=0) / (source.bin_width_s if spikes else 1.0)
    values = zero_padding(np.broadcast_to(mean, recorded.shape), source.lengths)
    if spikes:
        file.signal("rates", values)
    else:
        file.signal("activity_prediction", values, unit=recorded.unit)
    file.dynamics(Opaque())
    file.readout(Readout.opaque())


def _infer_truth(
    file: writer.Writer,
    source: reader.ContractFile,
    dynamics: Dynamics,
    noise: float,
    random: np.random.Generator,
) -> None:
    """The truth in turned coordinates, with noise on the rates."""
    turn = np.eye(dynamics.state_size)
    if isinstance(dynamics, Affine):
        turn = np.linalg.qr(random.normal(size=turn.shape))[0]
        dynamics = Affine(turn @ dynamics.A @ turn.T, turn @ dynamics.B, turn @ dynamics.c)
    states, inputs = source.truth["states"][:] @ turn.T, source.truth["inputs"][:]
    rates = source.truth["rates"][:]
    rates = rates * np.exp(noise * random.normal(size=rates.shape))
    file.signal("rates", zero_padding(rates, source.lengths))
    file.signal("states", zero_padding(states, source.lengths))
    file.signal("initial_state", source.truth["initial_state"][:] @ turn.T)
    file.signal("inputs", inputs)
    state, following = Probe.points(states, inputs)
    file.dynamics(dynamics, Probe(state, following, dynamics.step(state, following)))
    readout = source.truth_readout()
    if readout is not None:
        first, *rest = readout.layers
        turned = Layer(first.weight @ turn.T, first.bias, first.nonlinearity)
        file.readout(Readout([turned, *rest], scale=readout.scale))
