"""``ctd-models-jax model=jslds``: train a network on a task together with its JSLDS; write a file of each."""

from __future__ import annotations

from ctd_contract.command import Command, Run
from ctd_models_jax import accelerator
from ctd_models_jax.jslds.config import JSLDSConfig, JSLDSFitConfig
from ctd_models_jax.origin import Origin
from ctd_models_jax.tasks.config import TASKS

NETWORK = "task.h5"
_PUBLISHED = (
    "task.n_time=25",
    "training.schedule=exponential",
    "training.learning_rate=0.02",
    "training.decay=0.9999",
    "training.epsilon=0.1",
    "training.gradient_clip=10",
    "training.batch_size=256",
    "training.quiet_share=0",
    "training.noise_std=0",
    "model.gain=0.9",
    "model.layers=2",
    "model.activation=tanh",
    "model.learned_input_point=false",
    "model.weights.jslds=1",
    "model.weights.fixed_point=100",
    "model.weights.agreement=10",
)
# Smith et al. 2021: settings of the authors' notebooks, whatever the defaults are.
PRESETS = {
    "published_bit_memory": (
        *("task=bit_memory", "task.n_bits=3", "task.ignored_bins=5", "task.noise_std=0", *_PUBLISHED),
        f"task.pulse_probability={2 / 3}",
        *("model.cell=gru", "model.units=100", "model.weights.rnn=3", "model.weights.l2=0"),
        "training.steps=40000",
    ),
    "published_context_integration": (
        *("task=context_integration", "task.bin_width_s=0.04", "task.noise_std=0.025", *_PUBLISHED),
        *("task.biases=normal", "task.bias_scale=0.01", "task.switch_probability=0"),
        *("model.cell=tanh", "model.units=128", "model.weights.rnn=1", "model.weights.l2=1e-5"),
        "training.steps=50000",
    ),
}


def run(config: JSLDSFitConfig, run: Run) -> None:
    """Train both systems, run them through trials of their own, write ``task.h5`` and ``inference.h5``."""
    accelerator.set_threads(config.threads)

    from functools import partial

    import jax

    from ctd_models_jax.fitting import fit_run
    from ctd_models_jax.jslds import JSLDS, export
    from ctd_models_jax.tasks import draw
    from ctd_models_jax.training import Generated

    task, training = config.task, config.training
    sizes = (len(task.input_names), len(task.target_names))
    model = JSLDS(*sizes, **vars(config.model), input_kept=task.context_inputs, noise_std=config.noise_std)
    start_key, fit_key, valid_key, trials_key = jax.random.split(jax.random.key(config.seed), 4)
    drawn = {"n_trials": training.batch_size, "quiet_share": training.quiet_share}
    batches = Generated(partial(draw, task, **drawn), training.steps_per_call)
    params = fit_run(
        *(run, training, *model.initialize(start_key), model.loss, batches),
        key=fit_key,
        valid=draw(task, valid_key, training.n_valid),
        score=model.score,
        monitor="loss",
        label="training",
        figures={"relative_error": "valid/relative_error"},
        count=batches.steps,
    )
    trials = draw(task, trials_key, config.n_trials)
    rollout = model.infer(params, trials.inputs)
    name = config.name or f"{run.config['task']['name']}_jslds"
    origin = Origin(name, run.id, config.seed, run.config)
    files = (model, params, task, trials, rollout, origin)
    export.write_network(run.folder / NETWORK, *files)
    export.write_jslds(run.result, run.folder / NETWORK, *files)


COMMAND = Command(
    name="ctd-models-jax",
    config=JSLDSFitConfig,
    run=run,
    result="inference.h5",
    summary="(model=jslds) train a network on a task together with a switching linear system that mimics it",
    example="ctd-models-jax model=jslds task=bit_memory",
    groups={"model": {"jslds": JSLDSConfig}, "task": TASKS},
    choices={"model": "jslds", "task": "bit_memory"},
    presets=PRESETS,
)
