"""The command `ctd-tasks`: train a network on a task, run it, write `task.h5`."""

from __future__ import annotations

from ctd_contract.command import Command, Run, UserError
from ctd_tasks.config import TasksConfig
from ctd_tasks.networks.config import NETWORKS
from ctd_tasks.tasks import TASKS

# The flip-flop as published: constant learning rate, a thousand epochs, large batches.
PUBLISHED = (
    "training.max_epochs=1000",
    "training.learning_rate=1e-3",
    "training.final_learning_rate=null",
    "training.weight_decay=1e-8",
    "training.gradient_clip=1.0",
    "training.batch_size=256",
    "training.n_train=800",
    "training.n_valid=200",
)


def run(config: TasksConfig, run: Run) -> None:
    """Train, run the simulation set, write the task file and the figures."""
    import json

    import torch

    from ctd_contract.torch.training.figures import TrainingFigures
    from ctd_tasks.figures import draw_validation, save_figures
    from ctd_tasks.networks import build
    from ctd_tasks.simulation import in_simulation, simulate, write_task
    from ctd_tasks.training import train

    try:
        config.training.check()
        config.simulation.check()
    except ValueError as error:
        raise UserError(str(error)) from error
    torch.set_num_threads(config.threads)
    task = config.task
    network = build(config.network, len(task.input_names), len(task.output_names), seed=config.seed)
    interval = config.training.figure_interval
    result = train(
        network,
        task,
        folder=run.folder,
        config=config.training,
        seed=config.seed,
        resume=run.resume,
        callbacks=[TrainingFigures(run.folder / "figures", interval, draw_validation)] if interval else [],
    )
    shown = in_simulation(network, config.simulation)
    save_figures(run.folder / "figures", *next(simulate(shown, task, 100, seed=config.seed)), task=task)
    score = write_task(
        run.result,
        network,
        task,
        config=config.simulation,
        seed=config.seed,
        run=run.id,
        provenance=run.config,
        overwrite=config.overwrite,
    )
    summary = {
        "epochs": result.epochs,
        "stopped": result.reason,
        "best_epoch": result.best_epoch,
        "valid_success": result.best_score,
        "simulation_success": score.success,
    }
    (run.folder / "summary.json").write_text(json.dumps(summary, indent=1))


COMMAND = Command(
    name="ctd-tasks",
    config=TasksConfig,
    run=run,
    result="task.h5",
    summary="train a network on a task and run it through trials",
    example="ctd-tasks task=flip_flop task.n_bits=2 network=gru network.units=64",
    groups={"task": TASKS, "network": NETWORKS},
    choices={"task": "flip_flop", "network": "noisy_gru"},
    presets={"published": PUBLISHED},
)


def main() -> None:
    """Run the command."""
    COMMAND.main()
