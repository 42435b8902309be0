"""LFADS's decoder: controller, generator and factors, which drive each other bin by bin.

In bin t, with f_0 = W (m_0 g_0) the factors of the initial state and m the masks of dropout:

    s_t            = GRU_controller(m_t [encoded_t, f_{t-1}], s_{t-1})
    [mu_t, log v_t] = Q s_t + q,    u_t = mu_t + exp(log v_t / 2) noise_t
    g_t            = GRU_generator([u_t, external_t], g_{t-1})
    f_t            = W (m_t g_t)

(Pandarinath et al. 2018, "Inferring single-trial neural population dynamics using sequential auto-encoders",
Nature Methods 15; Sussillo et al. 2016, arXiv:1608.06315.) Dropout never touches the states that are carried
on.
"""

from __future__ import annotations

from torch import Tensor

from ctd_contract.torch.sequences.arguments import choose
from ctd_models_torch.lfads.decoder_loop.arguments import (
    BACKENDS,
    Decoded,
    DecoderArguments,
    DecoderParameters,
    GRUWeights,
    check,
)
from ctd_models_torch.lfads.decoder_loop.fast import decode_fast
from ctd_models_torch.lfads.decoder_loop.plain import decode_plain

__all__ = ["Decoded", "DecoderParameters", "GRUWeights", "decode"]


def decode(
    parameters: DecoderParameters,
    *,
    generator_state: Tensor,
    controller_state: Tensor | None = None,
    encoded: Tensor | None = None,
    external: Tensor | None = None,
    noise: Tensor | None = None,
    controller_mask: Tensor | None = None,
    factor_mask: Tensor | None = None,
    n_time: int,
    clip: float | None = None,
    reset: str = "before",
    backend: str = "fast",
) -> Decoded:
    """Run the decoder over all bins.

    Args:
        parameters: Controller or none, generator and factors.
        generator_state: (trial, generator), before the first bin; not clipped itself.
        controller_state: (trial, controller), before the first bin; None without a controller.
        encoded: (trial, time, encoded), what the controller reads of the data; None without such columns.
        external: (trial, time, external), known inputs of the generator, or None.
        noise: (trial, time, control), standard normal; None passes the means on to the generator.
        controller_mask: (trial, time, encoded + factor), multiplies the controller's inputs; or None.
        factor_mask: (trial, time + 1, generator), multiplies the states that the factors are made of, first
            the initial one; or None.
        n_time: Bins.
        clip: New states of both units are clamped to ±clip.
        reset: Whether a unit's reset gate multiplies its state ``"before"`` the recurrent product, as
            published, or the product (``"after"``, torch's form).
        backend: ``"fast"``, or ``"plain"`` for the loop of cells that it is tested against.

    Returns:
        States, factors and controls of all bins. Gradients flow to all parameters, ``encoded``, ``external``
        and both initial states.

    Raises:
        ValueError: Shapes contradict each other, or an argument has no effect.
    """
    arguments = DecoderArguments(
        generator_state, controller_state, encoded, external, noise, controller_mask, factor_mask,
        n_time, clip, reset,
    )  # fmt: skip
    choose("backend", backend, BACKENDS)
    check(parameters, arguments)
    return (decode_fast if backend == "fast" else decode_plain)(parameters, arguments)
