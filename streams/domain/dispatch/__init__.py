"""The dispatch: the best choices of one interval, given what the plan made last has next.

In the order in which to read: `problem`, the choices as arrays; `solve`, an outcome from a snapshot; `knapsack`, the
exact search that nearly always finds it, of `dual` (prices and a bound), `gpu_table` (the workloads alone), `rounding`
(a first selection), `core` (what is in doubt), `states` and `core_search` (dynamic programming over that); `cp_sat`, a
general solver for the rest, which starts from `merit_order`. What a decision can choose (`streams.domain.choice`) and
what was chosen (`streams.domain.selection`) are shared with the plan's decisions and the reasons.
"""
