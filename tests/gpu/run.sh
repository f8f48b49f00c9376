#!/usr/bin/env bash
# On a machine with an NVIDIA GPU: every operator's samples on the device beside the evaluator,
# then the times of training steps, and of kernels beside the floor of their bytes and arithmetic.
# Needs the driver, and `make .venv/.test` once.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
exec "${PYTHON:-.venv/bin/python}" -m tests.gpu.run "$@"
