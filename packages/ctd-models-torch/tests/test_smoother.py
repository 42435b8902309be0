"""The smoother reads from both ends and writes no dynamics."""

from dataclasses import replace

import numpy as np
import torch
from toys import batch_of, model_of, shape_of

import ctd_contract as cc
from ctd_contract.testing import make_recording
from ctd_models_torch.config import FitConfig, SmootherConfig
from ctd_models_torch.fitting import fit


def test_every_bin_is_predicted_from_all_that_may_be_seen(random):
    shape = shape_of(bins=5)
    model, batch = model_of(SmootherConfig(size=4), shape).double(), batch_of(random, shape, bins=7)
    batch = replace(batch, data=batch.data.double().requires_grad_(), inputs=batch.inputs.double())
    held_in = [index for index, held_out in enumerate(shape.held_out) if not held_out]
    for index in range(7):
        prediction = model.infer(batch).prediction[:, index].sum()
        (grad,) = torch.autograd.grad(prediction, batch.data)
        reached = grad.abs().sum((0, 2)) > 0
        assert reached.tolist() == [True] * 5 + [False] * 2
        assert set(grad.abs().sum((0, 1)).nonzero()[:, 0].tolist()) == set(held_in)


def test_the_fast_path_is_the_loop(random):
    shape = shape_of()
    model = model_of(SmootherConfig(size=4), shape).double()
    batch = batch_of(random, shape, lengths=[7, 3, 5, 1, 7])
    batch = replace(batch, data=batch.data.double(), inputs=batch.inputs.double())
    found = []
    for model.backend in ("fast", "plain"):
        model.zero_grad()
        prediction = model.infer(batch).prediction
        prediction.square().sum().backward()
        found.append([prediction, *(p.grad.clone() for p in model.parameters() if p.grad is not None)])
    for fast, plain in zip(*found, strict=True):
        torch.testing.assert_close(fast, plain, rtol=1e-9, atol=1e-12)


def test_it_predicts_held_out_neurons_and_writes_no_dynamics(tmp_path):
    path = make_recording(
        tmp_path / "fast.h5", n_trials=100, n_time=20, n_neurons=12, mean_rate_hz=100.0, seed=1
    )
    settings = FitConfig(
        max_epochs=20, batch_size=10, learning_rate=1e-2, accelerator="cpu", tensorboard=False
    )
    fitted = fit(path, tmp_path / "run", model=SmootherConfig(size=16), training=settings)
    with cc.open(fitted.path) as file, cc.open(path) as recording:
        assert file.dynamics().kind == "opaque"
        assert "initial_state" not in file.signals
        rows, held_out = recording.split("test"), recording.held_out
        counts = recording.signals["spikes"][:][rows][:, :, held_out].astype(float)
        expected = file.signals["rates"][:][rows][:, :, held_out] * recording.bin_width_s
        train = recording.signals["spikes"][:][recording.split("train")][:, :, held_out].mean((0, 1))
    gain = (counts * np.log(expected / train) - expected + train).sum() / counts.sum() / np.log(2)
    assert gain > 0.03
