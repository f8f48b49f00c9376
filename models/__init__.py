"""Bundled networks in the DSL, a file each; a file here is what `dlc train NAME` takes."""
