"""How fast the average generator forgets (PAPER: appendix A.1; ramp-up as in StyleGAN2).

The paper's average keeps a fixed share of itself at every step. Told as a half-life in images, the
same average means the same for any minibatch; and while few images have been shown, a half-life in
proportion to them keeps the beginning, which was noise, from being remembered.
"""


def kept_share(
    minibatch: int, nimg: int, *, decay: float, halflife_kimg: float, rampup: float
) -> float:
    """Give the share of itself that the average keeps at a step.

    Args:
        minibatch: images of the step.
        nimg: images shown before it.
        decay: the share, where there is no half-life.
        halflife_kimg: thousand images after which half is forgotten; 0 for the fixed share.
        rampup: the half-life is at most this share of the images shown; 0 for no such bound.

    Returns:
        A number in [0, 1).
    """
    if halflife_kimg == 0:
        return decay
    halflife = 1000 * halflife_kimg
    if rampup > 0:
        halflife = min(halflife, rampup * (nimg + minibatch))
    return float(0.5 ** (minibatch / halflife))
