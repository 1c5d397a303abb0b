#!/usr/bin/env bash
# What only a GPU can show: nnx checked and timed on it, one table, and gpu.json (or --json PATH). No network.
# NNX_DATA_DIR names the folder of MNIST's files; PYTHON the interpreter whose environment has nnx and CuPy.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
export PYTHONPATH="$here/..${PYTHONPATH:+:$PYTHONPATH}" NNX_OFFLINE=1
exec "${PYTHON:-python3}" "$here/gpu.py" --json gpu.json "$@"
