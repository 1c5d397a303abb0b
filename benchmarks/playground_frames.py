"""Count the frames a second of the playground while it trains: 2-8-8-1, 500 points. Needs Chromium.

Run by hand: ``python benchmarks/playground_frames.py``. It prints the processor, the frames a second, and
the milliseconds of script that a frame takes, of which 16.7 would fill a frame at 60 a second.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from support.browser import chromium, look

from nnx.experiments.environment import environment
from nnx.pages import write_playground

FRAMES = """
const seconds = arguments[0], done = arguments[arguments.length - 1], app = nnxPlayground;
const times = [];
let script = 0;
const original = window.requestAnimationFrame;
window.requestAnimationFrame = (call) => original((now) => {
  const begin = performance.now();
  call(now);
  script += performance.now() - begin;
  times.push(now);
  if (now - times[0] > 1000 * seconds) {
    window.requestAnimationFrame = original;
    app.pause();
    const gaps = times.slice(1).map((time, at) => time - times[at]).sort((a, b) => a - b);
    done({ frames: gaps.length, seconds: (times.at(-1) - times[0]) / 1000, script: script / times.length,
      median: gaps[gaps.length >> 1], steps: app.session.stepCount });
  }
});
app.play();
"""


def main() -> None:
    """Print the frames a second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder, chromium(Path(folder) / "profile") as driver:
        page = write_playground(Path(folder) / "playground.html")
        look(driver, width=1440)
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})  # motion in full
        driver.get(page.as_uri())
        driver.set_script_timeout(seconds + 60)
        found = driver.execute_async_script(FRAMES, seconds)
    print(environment("cpu")["processor"], f"load {os.getloadavg()[0]:.1f}")
    print(f"{found['frames'] / found['seconds']:.1f} frames a second, median {1000 / found['median']:.1f};"
          f" {found['script']:.1f} ms of script in a frame; {found['steps']:,} steps")  # fmt: skip


if __name__ == "__main__":
    main()
