"""MR-LFADS's loop over bins: all regions advance together.

In bin t, for region i, with W_i g the factors f and e the emission (of states under dropout, g * mask):

    s_t            = GRU_controller(mask_t [encoded_t, f_{t-1}], s_{t-1})
    u_t            ~ N(Q s_t + q)
    m_{j to i, t}  ~ N(M_ji e_{j, t-1} + b_ji)        for all other regions j
    g_t            = GRU_generator([u_t, messages, external_t], g_{t-1})
    f_t            = W_i (mask_t g_t)

Dropout never touches the states that are carried on.
"""

from __future__ import annotations

from collections.abc import Sequence

from ctd_contract.torch.sequences.arguments import choose
from ctd_models_torch.multi_region.loop.arguments import BACKENDS, LoopArguments, Looped, RegionParameters
from ctd_models_torch.multi_region.loop.fast import loop_fast
from ctd_models_torch.multi_region.loop.plain import loop_plain


def loop(regions: Sequence[RegionParameters], arguments: LoopArguments, *, backend: str = "fast") -> Looped:
    """Run all regions over all bins.

    Args:
        regions: Parameters of each.
        arguments: Everything else.
        backend: ``"fast"``, or ``"plain"`` for the loop of cells that it is tested against. Messages that
            are made of rates by a readout that isn't affine always take the plain loop.
    """
    choose("backend", backend, BACKENDS)
    fast = loop_fast(regions, arguments) if backend == "fast" else None
    return loop_plain(regions, arguments) if fast is None else fast
