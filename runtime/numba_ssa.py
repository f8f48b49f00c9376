"""Numba's SSA reconstruction and liveness for kernels with many branches: the same results sooner.

Numba scans every block of a function for each variable that has several definitions, and builds a
set of all variables for every block. A kernel of many bounded reads (`x[i] if i < n else 0`) has
hundreds of both: its compile time grew with their product.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from numba.core import analysis, errors, ssa
from numba.core.compiler_machinery import register_pass
from numba.core.untyped_passes import ReconstructSSA, build_definitions, postproc


@register_pass(mutates_CFG=False, analysis_only=False)
class KernelSSA(ReconstructSSA):  # type: ignore[misc]
    """Numba's pass with `reconstructed` as its algorithm."""

    _name = "kernel_ssa"

    def run_pass(self, state: Any) -> bool:
        state.func_ir.blocks = reconstructed(state.func_ir.blocks)
        self._patch_locals(state)
        state.func_ir._definitions = build_definitions(state.func_ir.blocks)
        postproc.PostProcessor(state.func_ir).run(emit_dels=False)
        return True


def reconstructed(blocks: dict[int, Any]) -> dict[int, Any]:
    """The blocks in minimal SSA form: what numba.core.ssa gives, which visits for each variable
    all blocks; here it visits those that name the variable."""
    if not blocks:
        return {}
    cfg = ssa.compute_cfg_from_blocks(blocks)
    fronts, cache = ssa._iterated_domfronts(cfg), ssa._CacheListVars()
    places, blocks = naming(blocks), dict(blocks)
    for name in ssa._find_defs_violators(blocks, cfg):
        part, definitions = ssa._fresh_vars({k: blocks[k] for k in places[name]}, name)
        blocks.update(part)
        states = {"scope": next(iter(part.values())).scope, "varname": name, "cfg": cfg,
                  "defmap": definitions, "phimap": defaultdict(list),
                  "phi_locations": ssa._compute_phi_locations(fronts, definitions)}
        blocks.update(ssa._run_block_rewrite(part, states, ssa._FixSSAVars(cache)))
        for label, phis in states["phimap"].items():
            blocks[label].body = phis + blocks[label].body
    if ssa.compute_cfg_from_blocks(blocks) != cfg:
        raise errors.CompilerError("CFG mutated in SSA pass")
    return blocks


def naming(blocks: dict[int, Any]) -> dict[str, list[int]]:
    """The blocks in which each variable stands, in their order."""
    found: dict[str, dict[int, None]] = defaultdict(dict)
    for label, block in blocks.items():
        for statement in block.body:
            for variable in statement.list_vars():
                found[variable.name][label] = None
    return {name: list(labels) for name, labels in found.items()}


def live_map(cfg: Any, blocks: dict[int, Any], used: Any, defined: Any) -> dict[int, set[str]]:
    """The variables alive at the entry of each block: numba.core.analysis.compute_live_map, with
    the bits of an integer for a set of variables."""
    names: list[str] = sorted({v for sets in (used, defined) for s in sets.values() for v in s})
    bit = {name: 1 << i for i, name in enumerate(names)}
    order = cfg.topo_order()
    uses = {k: _bits(used[k], bit) for k in blocks}
    defs = {k: _bits(defined[k], bit) for k in blocks}
    reach = _reaching(cfg, order, {k: uses[k] | defs[k] for k in blocks})
    live, before = dict(uses), None
    while live != before:
        before = dict(live)
        for label in reversed(order):
            for source, _ in cfg.predecessors(label):
                live[source] |= live[label] & reach[source] & ~defs[source]
    return {label: {names[i] for i in _ones(found)} for label, found in live.items()}


def _reaching(cfg: Any, order: Any, own: dict[int, int]) -> dict[int, int]:
    """The variables named in each block or on a way to it."""
    reach, before = dict(own), None
    while reach != before:
        before = dict(reach)
        for label in order:
            for target, _ in cfg.successors(label):
                reach[target] |= reach[label]
    return reach


def _bits(names: Any, bit: dict[str, int]) -> int:
    found = 0
    for name in names:
        found |= bit[name]
    return found


def _ones(number: int) -> Iterator[int]:
    """The places of the bits that are set: few of thousands."""
    while number:
        low = number & -number
        yield low.bit_length() - 1
        number ^= low


analysis.compute_live_map = live_map
