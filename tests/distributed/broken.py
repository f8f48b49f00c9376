"""A file that fails in one of the processes that load it."""

import os

import dlc
from tests.distributed.narrow import narrow

if os.environ.get("PMI_RANK") == "1":
    raise dlc.DlcError("this rank has no data")

task = narrow
