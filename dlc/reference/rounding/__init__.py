"""Rounding: intervals that a kernel's result must be in, for each element of a graph's values.

`enclose(graph, arrays)` evaluates a graph in f64 and carries intervals along: an operator's result
lies between what it gives at the ends of its operands' intervals, widened by what its own rounding
may add (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., chapters 2 and 3):

    basic arithmetic    the interval and its ends rounded to the dtype (IEEE 754: rounding is
                        monotone), so that a fused multiply-add lies inside, too
    functions           the units in the last place that docs/design/math.md measured
    sums of n products  gamma(n) = n u / (1 - n u) of the sum of magnitudes, in any order
    choices             comparisons, floor, where: all answers that the intervals allow
    factorizations      what perturbing the operand by n u of its norm does (backward stability)

Whole numbers that add and multiply without rounding keep their exact value. An element about which
nothing can be said (next to a pole, an order that rounding decides) is *free*. `outside` says which
elements of a kernel's result lie outside: no tolerance is picked anywhere.

Intervals do not know that two operands are one value: x == max(x) allows both answers where x was
rounded, and x - x is as wide as twice x. So they hold best over one fused body, whose inputs are
known to the bit; over a whole program they are safe, and may be wide.
"""

from __future__ import annotations

from dlc.reference.rounding.enclose import enclose, results
from dlc.reference.rounding.interval import Interval, outside

__all__ = ["Interval", "enclose", "outside", "results"]
