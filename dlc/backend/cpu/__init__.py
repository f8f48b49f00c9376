"""The CPU's dialect: kernel text, instruction sets, tiles, prelude."""
