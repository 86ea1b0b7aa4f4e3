"""Kubernetes quantities, as far as they have to be compared."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

SUFFIXES = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal("1e3"),
    "M": Decimal("1e6"),
    "G": Decimal("1e9"),
    "T": Decimal("1e12"),
    "P": Decimal("1e15"),
    "E": Decimal("1e18"),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}


def amount(quantity: str) -> Decimal | None:
    """The number a quantity means (`1500m` is 1.5, `1e3` is 1000); None when it is none."""
    number = quantity.rstrip("numkMGTPEKi")
    suffix = quantity[len(number) :]
    # `1E3` is an exponent and `1E` a suffix: only the latter ends in the letter.
    if suffix not in SUFFIXES:
        return None
    try:
        value = Decimal(number) * SUFFIXES[suffix]
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


def same(one: str, other: str) -> bool:
    """Whether two quantities mean the same, `1000m` and `1` for example."""
    if one == other:
        return True
    first, second = amount(one), amount(other)
    return first is not None and first == second


def less(one: str, other: str) -> bool:
    """Whether one is less; False when either is no quantity."""
    first, second = amount(one), amount(other)
    return first is not None and second is not None and first < second


def plain(quantity: str) -> str:
    """Without suffix and needless zeros: `500m` is `0.5`; what is no quantity stays."""
    value = amount(quantity)
    if value is None:
        return quantity
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
