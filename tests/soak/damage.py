"""Damage a checkpoint at many random places, one after another, and see that each time it is refused.

python tests/soak/damage.py --times 10000
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.checkpoint_faults import damage, write_large


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = write_large(Path(folder))
        told = {"bytes": path.stat().st_size, "damaged": options.times}
        told["not noticed"] = damage(path, options.times, options.seed)
    print(json.dumps(told))
    sys.exit(bool(told["not noticed"]))


if __name__ == "__main__":
    main()
