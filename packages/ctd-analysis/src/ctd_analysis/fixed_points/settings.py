"""Settings of the search for fixed points and of their matching."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class FixedPointSearch:
    """Settings of the search. Lengths are relative to the spread of the visited states.

    Attributes:
        n_starts: Visited states from which the search starts.
        noise: Standard deviation of what is added to the starts, per dimension, relative to the spread.
        tolerance: Speed |F(x, u) - x| per bin below which a point is fixed, in units of the state.
        slow_speed: Speed per bin, relative to the spread, below which a minimum of the speed is a slow
            point: .01 takes 100 bins to cross the states.
        separation: Points closer than this, relative to the spread, are one.
        reach: Points farther from the visited states' mean than this many spreads are dropped; None
            keeps all.
        max_points: At most as many points are returned: for the continua of line attractors the separation is
            doubled until they fit.
        max_iterations: Newton iterations of a start.
        max_damped_iterations: Levenberg-Marquardt iterations of a start at which Newton's method stalled.
        max_damped_starts: At most as many of these starts go on: along slow manifolds they crowd.
    """

    n_starts: int = 1024
    noise: float = 0.0
    tolerance: float = 1e-10
    slow_speed: float = 0.01
    separation: float = 1e-3
    reach: float | None = 3.0
    max_points: int = 256
    max_iterations: int = 30
    max_damped_iterations: int = 60
    max_damped_starts: int = 64

    def __post_init__(self) -> None:
        positive = ("n_starts", "tolerance", "separation", "max_points", "max_iterations")
        for name in positive:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}, it has to be above 0")
        for name in ("noise", "slow_speed", "max_damped_iterations", "max_damped_starts"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)}, it can't be negative")
        if self.reach is not None and not self.reach > 0.0:
            raise ValueError(f"reach is {self.reach}, it has to be above 0, or None for no limit")


@dataclass
class MatchSettings:
    """Settings of the matching.

    Attributes:
        cutoff: Largest distance of a pair, relative to the spread of the true states. A corner of the
            flip-flop's cube and the middle of an edge are .58 apart.
        n_leading: How many eigenvalues, those of largest modulus, are compared.
        ridge: Penalty of the affine map into the truth's space, relative to the states' total variance: keeps
            directions in which a model hardly moves from deciding where its points lie.
    """

    cutoff: float = 0.25
    n_leading: int = 3
    ridge: float = 1e-5

    def __post_init__(self) -> None:
        if not self.cutoff > 0.0:
            raise ValueError(f"cutoff is {self.cutoff}, it has to be above 0")
        if self.n_leading < 1:
            raise ValueError(f"n_leading is {self.n_leading}, it has to be 1 or more")
        if not self.ridge >= 0.0:
            raise ValueError(f"ridge is {self.ridge}, it can't be negative")
