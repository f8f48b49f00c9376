"""Data: bundled sets, loaders of standard files, and batches for the ports of a Program."""

from dlc.runtime.data.batches import Stream, bind_arrays, data_ports, epoch_order
from dlc.runtime.data.dataset import DataError, Dataset
from dlc.runtime.data.source import BUNDLED, load_dataset

__all__ = ["BUNDLED", "DataError", "Dataset", "Stream", "bind_arrays", "data_ports",
           "epoch_order", "load_dataset"]
