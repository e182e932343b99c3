"""A linear program gathered in bulk: columns, rows and terms as arrays, whatever solver takes it."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from streams.domain.plan.problem import Floats, Ints

INF = float("inf")


@dataclass(slots=True)
class Sheet:
    """Columns, rows and terms as they are added; shapes of the arguments are broadcast."""

    low: list[Floats] = field(default_factory=list)
    high: list[Floats] = field(default_factory=list)
    worth: list[Floats] = field(default_factory=list)
    integer: list[NDArray[np.bool_]] = field(default_factory=list)
    row_low: list[Floats] = field(default_factory=list)
    row_high: list[Floats] = field(default_factory=list)
    terms: list[tuple[Ints, Ints, Floats]] = field(default_factory=list)
    costs: list[tuple[Ints, Floats]] = field(default_factory=list)
    n_columns: int = 0
    n_rows: int = 0

    def columns(
        self,
        shape: tuple[int, ...],
        *,
        low: Floats | float = 0.0,
        high: Floats | float = INF,
        worth: Floats | float = 0.0,
        integer: bool = False,
    ) -> Ints:
        """Adds columns; returns their positions in this shape."""
        count = int(np.prod(shape))
        for kept, value in ((self.low, low), (self.high, high), (self.worth, worth)):
            kept.append(np.broadcast_to(np.asarray(value, dtype=np.float64), shape).ravel())
        self.integer.append(np.full(count, integer))
        self.n_columns += count
        return np.arange(self.n_columns - count, self.n_columns).reshape(shape)

    def rows(self, columns: Ints, factors: Floats | float, low: Floats | float, high: Floats | float) -> Ints:
        """Adds one row for each of these columns, with it as the first term; returns the rows' positions."""
        shape, count = columns.shape, columns.size
        for kept, value in ((self.row_low, low), (self.row_high, high)):
            kept.append(np.broadcast_to(np.asarray(value, dtype=np.float64), shape).ravel())
        self.n_rows += count
        rows = np.arange(self.n_rows - count, self.n_rows).reshape(shape)
        self.add(rows, columns, factors)
        return rows

    def add(self, rows: Ints, columns: Ints, factors: Floats | float) -> None:
        """Adds terms; terms of one row and column add up."""
        row, column, factor = np.broadcast_arrays(rows, columns, np.asarray(factors, dtype=np.float64))
        self.terms.append((row.ravel(), column.ravel(), factor.ravel()))

    def charge(self, columns: Ints, cost: Floats) -> None:
        """Takes a cost off the worth of columns that are there."""
        self.costs.append((columns, cost))

    def worths(self) -> Floats:
        worth = np.concatenate(self.worth)
        for columns, cost in self.costs:
            worth[columns] -= cost
        return worth

    def matrix(self) -> csr_matrix:
        row, column, factor = (np.concatenate(part) for part in zip(*self.terms, strict=True))
        return csr_matrix((factor, (row, column)), shape=(self.n_rows, self.n_columns))
