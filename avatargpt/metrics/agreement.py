"""How far several judges agree who put items into categories."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence


def krippendorff_alpha(units: Sequence[Sequence[Hashable]]) -> float | None:
    """Krippendorff's alpha for nominal categories; judges may leave units out.

    1 = full agreement, 0 = as by chance, below 0 = less than by chance. Source: Krippendorff 2011, "Computing
    Krippendorff's alpha-reliability".

    Args:
        units: the votes on each unit, one of each judge who voted on it, in any order.

    Returns:
        None where no unit has two votes, or where all votes are one category, which shows nothing about chance.
    """
    paired = [list(votes) for votes in units if len(votes) > 1]
    totals = Counter(vote for votes in paired for vote in votes)
    if len(totals) < 2:
        return None
    count = totals.total()
    observed = sum(_unequal_pairs(Counter(votes)) / (len(votes) - 1) for votes in paired) / count
    return 1 - observed * (count * (count - 1)) / _unequal_pairs(totals)


def _unequal_pairs(votes: Mapping[Hashable, int]) -> int:
    """Ordered pairs of two votes that differ."""
    total = sum(votes.values())
    return total * total - sum(n * n for n in votes.values())


def fleiss_kappa(units: Sequence[Sequence[Hashable]]) -> float | None:
    """Fleiss' kappa (Fleiss 1971), which needs the same number of votes, two or more, on every unit.

    Returns:
        None where the numbers differ, or where all votes are one category.
    """
    judges = {len(votes) for votes in units}
    if len(judges) != 1 or (n := judges.pop()) < 2:
        return None
    totals = Counter(vote for votes in units for vote in votes)
    if len(totals) < 2:
        return None
    by_chance = sum((k / totals.total()) ** 2 for k in totals.values())
    equal = sum(1 - _unequal_pairs(Counter(votes)) / (n * (n - 1)) for votes in units) / len(units)
    return (equal - by_chance) / (1 - by_chance)
