"""Which objective is minimized, what its terms weigh, and how its penalties are taken."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ObjectiveSettings:
    """What both networks minimize at a step; by default the paper's (PAPER: appendix A.1)."""

    objective: str = "wasserstein"
    """One of `config.OBJECTIVES`."""
    gamma: float = 0.0
    """Weight of R1 and R2, for `logistic` and `relativistic`; at 0 they are not evaluated."""
    penalty_weight: float = 10.0
    """Weight of the paper's gradient penalty; at 0 it is not evaluated."""
    penalty_target: float = 1.0
    """Gradient norm that the paper's penalty asks for."""
    penalty_curvature: bool = True
    """As for `objectives.gradient_norms`; for all penalties."""
    penalty_scale: float = 1.0
    """`scale` as for `objectives.gradient_norms`; for all penalties."""
    drift_weight: float = 0.001
    """Weight of the real scores' mean square, for `wasserstein`, which keeps them near zero."""
    label_weight: float = 1.0
    """Weight of the class terms."""


PAPERS = ObjectiveSettings()
