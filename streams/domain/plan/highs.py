"""HiGHS without the callbacks of its Python class: setting them up prints a banner, whatever the options say."""

import highspy


class Engine(highspy.Highs):
    """A solver that says nothing."""

    def __init__(self) -> None:
        super(highspy.Highs, self).__init__()
