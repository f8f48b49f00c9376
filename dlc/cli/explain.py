"""`dlc explain FILE:LINE`: what a line became, in words."""

from __future__ import annotations

import argparse

from dlc.cli.arguments import UsageError
from dlc.cli.inspect import inspected
from dlc.cli.source import bundled_file, bundled_models, split_name
from dlc.errors import short_path


def run(options: argparse.Namespace) -> int:
    """Print what came of the line."""
    from dlc.inspector.explain import explain, place_at

    file, _, line = options.place.rpartition(":")
    if not file or not line.isascii() or not line.isdigit():
        raise UsageError(f"{options.place!r} is not FILE:LINE, e.g. lenet:15")
    options.file = options.of or file
    path = bundled_file(file) if file in bundled_models() else split_name(file)[0].resolve()
    inspection = inspected(options, options.profile)
    print(explain(inspection, place_at(inspection, short_path(str(path)), int(line))))
    return 0
