#!/usr/bin/env bash
# What only a GPU can show: nnx checked and timed on it in at most ten minutes, without a network. See docs/gpu.md.
#   NNX_DATA_DIR=… benchmarks/gpu.sh [--wheels FOLDER] [--out FOLDER] [--only PART] [--minutes 10] [--short]
# NNX_DATA_DIR names the folder of MNIST's files; PYTHON the interpreter whose environment has CuPy. nnx needs no
# installation: it is used from this checkout.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
export PYTHONPATH="$here/..:$here:$here/gpu${PYTHONPATH:+:$PYTHONPATH}" NNX_OFFLINE=1 PYTHONUNBUFFERED=1
exec "${PYTHON:-python3}" "$here/gpu/run.py" "$@"
