"""Blocks of trials side by side, and the buffers that they leave for the next step."""

import torch

from ctd_contract.torch.sequences.blocks import run_jobs
from ctd_contract.torch.sequences.workspace import Workspace


def test_every_job_computes_alone_and_the_program_as_before(two_threads):
    def threads_used(_):
        torch.ones(1000, 1000).exp()
        return torch.get_num_threads()

    for _ in range(2):
        assert run_jobs(threads_used, [0, 1], torch.device("cpu")) == [1, 1]
        assert torch.get_num_threads() == 2


def test_a_step_finds_all_buffers_of_the_last_one():
    like = torch.zeros(1)
    sizes = [1000 + 7 * index for index in range(20)]

    def step():
        held = [Workspace(size, like) for size in sizes]
        return {one.buffer.data_ptr() for one in held}

    first = step()
    assert step() == first
