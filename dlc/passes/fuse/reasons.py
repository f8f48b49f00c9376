"""Why a value is stored between two launches: every row of the fusion table that says no, in words.

`{value}` is the value that is stored, `{reader}` the operator that reads it, `{count}` how many
launches read it.
"""

from __future__ import annotations

from dlc.passes.fuse.grouping import Edge, Fuser, Group

ORDER = "order"
REASONS = {
    "scatter": "a scatter runs in the order of its indices, in a launch of its own",
    "routine": "a hand-written routine (a sort, a factorization) is a launch of its own",
    "control": "a loop or a branch is a step of its own; what it reads and gives lies in memory",
    "too_long": "one kernel would hold too many operators: LLVM would take too long",
    "two_contractions": "each of two products needs complete rows of the other",
    "reduction_to_contraction": "{value} is a reduction: a product reads each element many times, "
                                "and it would be reduced anew each time",
    "shared_prologue": "{value} is read by {count} launches, so it is stored anyway; the product "
                       "reads what is stored",
    "beside_contraction": "{reader} reads {value} beside the product, after its block is finished",
    "costly_prologue": "{value} is costly to compute, and a product packs its elements more than "
                       "once",
    "contraction_to_reduction": "a block of the product has parts of many sums: the reduction "
                                "needs them all",
    "rearranged": "{reader} takes elements of {value} from other places than its own, when only "
                  "one block of the product is finished",
    "read_by_reductions": "{value} is stored anyway, and only reductions read the cheap work that "
                          "follows: they do it as they read",
    "other_size": "the results have another size than {value}: not every block of the product "
                  "has its part of them",
    "other_indices": "{reader} reads {value} at other places than its own ({count} launches read "
                     "it): computing it there again would cost more than loading it",
    "kept_for_fold": "the work that follows moves into the fold over windows that reads it",
    "reduction_again": "{value} would be reduced again in every iteration of the loops around "
                       "{reader}",
    "few_loops": "together they would have too few parallel loops to share among threads",
    "circle": "another launch stands between the two: it reads the one, and the other reads it",
    ORDER: "nothing forbids it now: merging is greedy and took another pair first",
}


def refusal_now(fuser: Fuser, first: Group, second: Group, edge: Edge) -> str:
    """The row by which two groups stayed apart, judged as the groups are when all merging is over.
    """
    refused = fuser.refusal(first, second, edge)
    if refused:
        return refused
    lower, upper = fuser.standing.sorted(first, second)
    return "circle" if fuser.standing.between(lower, upper) is None else ORDER


def in_words(row: str, value: str, reader: str, count: int) -> str:
    """The reason `row` of one stored value."""
    return REASONS[row].format(value=value, reader=reader, count=count)
