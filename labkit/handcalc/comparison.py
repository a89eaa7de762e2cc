"""Two networks side by side: which layers differ in parameters, and by how much."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import NamedTuple

from labkit.handcalc.network import LayerTable, Row

# the next tells apart what the former could not pair
_KEYS: tuple[Callable[[Row], object], ...] = (
    lambda row: (row.kind, row.output_shape[0]),  # the same layer, as wide
    lambda row: row.kind,
)


class Difference(NamedTuple):
    """A layer of the first network and the one in its place in the second; None: there is none."""

    first: Row | None
    second: Row | None

    @property
    def parameters(self) -> int:
        """How many parameters more the second has."""
        return _count(self.second) - _count(self.first)


@dataclass(frozen=True, repr=False)
class Comparison:
    """The layers with parameters of two networks, aligned: what `compare` gives.

    `first` and `second` are the two layer tables; `rows` are pairs of layers that stand in the same
    place, one of them None where the other network has none. It shows itself as a table;
    `records()` gives that as data.
    """

    first: LayerTable
    second: LayerTable
    rows: tuple[Difference, ...]

    @property
    def difference(self) -> int:
        """How many parameters more the second network has."""
        return self.second.num_parameters - self.first.num_parameters

    @property
    def largest(self) -> Difference:
        """The place with the largest difference, whichever its sign; of equals the first."""
        return max(self.rows, key=lambda row: abs(row.parameters))

    def records(self) -> list[dict[str, str]]:
        """The table with its total as dictionaries of text, e.g. for `pandas.DataFrame`."""
        lines = [
            (
                row.first.layer if row.first else "",
                row.second.layer if row.second else "",
                f"{row.first.num_parameters:,}" if row.first else "",
                f"{row.second.num_parameters:,}" if row.second else "",
                _signed(row.parameters),
            )
            for row in self.rows
        ]
        totals = [f"{table.num_parameters:,}" for table in (self.first, self.second)]
        lines.append(("total", "total", *totals, _signed(self.difference)))
        columns = ("first", "second", "parameters (first)", "parameters (second)", "difference")
        return [dict(zip(columns, line, strict=True)) for line in lines]


def compare(first: LayerTable, second: LayerTable) -> Comparison:
    """Align the layers with parameters of two networks: by kind and width, the rest by kind.

    `first` and `second` are what `layer_table` gives. Differences are the second network's numbers
    minus the first's. Raises ValueError where neither network has parameters.

    >>> from labkit.handcalc import Flatten, GlobalAvgPool2d, Linear, layer_table
    >>> plain = layer_table([Flatten(), Linear(4608, 10)], (128, 6, 6))
    >>> pooled = layer_table([GlobalAvgPool2d(), Flatten(), Linear(128, 10)], (128, 6, 6))
    >>> comparison = compare(plain, pooled)
    >>> comparison.largest.first.layer, comparison.largest.parameters
    ('fully connected, 10 units', -44800)
    """
    one, other = ([row for row in table.rows if row.num_parameters] for table in (first, second))
    if not one and not other:
        raise ValueError("neither network has parameters; compare networks that learn something")
    return Comparison(first, second, tuple(_aligned(one, other, _KEYS)))


def _aligned(
    first: list[Row], second: list[Row], keys: Iterable[Callable[[Row], object]]
) -> Iterator[Difference]:
    """Pair the rows that agree in the first key, and what lies between them by the next keys."""
    if not keys:
        yield from (Difference(row, None) for row in first)
        yield from (Difference(None, row) for row in second)
        return
    key, *others = keys
    matcher = SequenceMatcher(None, list(map(key, first)), list(map(key, second)), autojunk=False)
    for tag, i, i_end, j, j_end in matcher.get_opcodes():
        if tag == "equal":
            yield from map(Difference, first[i:i_end], second[j:j_end])
        else:
            yield from _aligned(first[i:i_end], second[j:j_end], others)


def _count(row: Row | None) -> int:
    return row.num_parameters if row else 0


def _signed(number: int) -> str:
    """With its sign: '+64', '−44,800', '0'."""
    sign = "+" if number > 0 else "−" if number < 0 else ""
    return f"{sign}{abs(number):,}"
