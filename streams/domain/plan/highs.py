"""HiGHS, loaded with a program to maximise."""

import highspy
import numpy as np
from scipy.sparse import csc_matrix

from streams.domain.plan.problem import Floats
from streams.domain.plan.sheet import Sheet


class Engine(highspy.Highs):
    """HiGHS without the callbacks of its Python class: setting them up prints a banner, whatever the options say."""

    def __init__(self) -> None:
        super(highspy.Highs, self).__init__()


def loaded(
    worth: Floats,
    columns: tuple[Floats, Floats],
    rows: tuple[Floats, Floats],
    matrix: csc_matrix,
    settings: highspy.HighsOptions,
) -> highspy.Highs:
    """Returns an engine with the program: worth, least and most of the columns and of the rows, and the terms.

    The matrix may have fewer rows than there are bounds: the last ones then are empty still.
    """
    program = highspy.HighsLp()
    program.num_col_, program.num_row_ = worth.size, rows[0].size
    program.col_cost_, (program.col_lower_, program.col_upper_) = worth, columns
    program.row_lower_, program.row_upper_ = rows
    program.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    program.a_matrix_.start_, program.a_matrix_.index_ = matrix.indptr, matrix.indices
    program.a_matrix_.value_ = matrix.data
    program.sense_ = highspy.ObjSense.kMaximize
    engine = Engine()
    engine.passOptions(settings)
    engine.passModel(program)
    return engine


def of_sheet(sheet: Sheet, settings: highspy.HighsOptions) -> highspy.Highs:
    """Returns an engine with all columns and rows of a sheet, whole numbers as any others."""
    columns = np.concatenate(sheet.low), np.concatenate(sheet.high)
    rows = np.concatenate(sheet.row_low), np.concatenate(sheet.row_high)
    return loaded(sheet.worths(), columns, rows, sheet.matrix().tocsc(), settings)
