"""Student's t in a few lines: scipy would be 100 MB of image for this one function."""

from __future__ import annotations

import math
from functools import lru_cache

BISECTIONS = 200
"""More than enough: the interval is as small as a float can tell after about sixty."""


@lru_cache(maxsize=1024)
def t_quantile(probability: float, degrees: int) -> float:
    """Value that a t-distributed variable stays below with this probability (0.5 ≤ p < 1).

    For whole degrees of freedom the distribution function is a finite sum in θ = atan(t/√df)
    (Abramowitz and Stegun 26.7.3 and 26.7.4); it is inverted by bisection over θ. In θ the heavy
    tail is a bounded interval, so three degrees are as exact as three hundred.
    """
    if not 0.5 <= probability < 1 or degrees < 1:
        raise ValueError(f"no t-quantile of {probability} with {degrees} degrees of freedom")
    within = 2 * probability - 1
    low, high = 0.0, math.pi / 2
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if _within(middle, degrees) < within else (low, middle)
    return math.sqrt(degrees) * math.tan(low)


def _within(theta: float, degrees: int) -> float:
    """Probability that |t| < √df·tan θ."""
    sine, cosine = math.sin(theta), math.cos(theta)
    odd = degrees % 2 == 1
    term = cosine if odd else 1.0
    total = term if degrees > 1 else 0.0
    for step in range(2 if odd else 1, degrees - 2, 2):
        term *= cosine * cosine * step / (step + 1)
        total += term
    return (theta + sine * total) * 2 / math.pi if odd else sine * total
