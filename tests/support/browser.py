"""Control a real Chromium without a window, with its own driver; nothing is downloaded."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage",
    "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
NAMES = ("chromium", "chromium-browser", "google-chrome")

# WCAG 2.2, contrast (minimum): the ratio of each text to what lies behind it, where it is below the limit.
CONTRAST = """
const channel = (c) => { c /= 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
const parse = (colour) => {
  canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
};
const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a)];
const behind = (element) => {
  const layers = [];
  for (let one = element; one; one = one.parentElement) {
    layers.push(parse(getComputedStyle(one).backgroundColor));
  }
  return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
};
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement, style = getComputedStyle(element);
  if (!walker.currentNode.data.trim() || !element.checkVisibility({ visibilityProperty: true })) continue;
  if (element.closest("script, style, .unseen, .skip, .map svg")) continue;
  const back = behind(element), colour = parse(style.color);
  let opacity = 1;
  for (let one = element; one; one = one.parentElement) opacity *= Number(getComputedStyle(one).opacity);
  colour[3] *= opacity;
  const [a, b] = [light(over(colour, back)), light(back)].sort((x, y) => y - x);
  const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
  if ((a + 0.05) / (b + 0.05) < (large ? 3 : 4.5)) {
    found.push([walker.currentNode.data.trim(), ((a + 0.05) / (b + 0.05)).toFixed(2)]);
  }
}
return found;
"""


def unavailable(reason: str) -> None:
    """Skip, or fail where everything is to be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI=true, but {reason}")
    pytest.skip(reason)


@contextmanager
def chromium(profile: Path) -> Iterator[Any]:
    """A driver for Chromium with a fresh profile, which logs its console and its requests."""
    driver = shutil.which("chromedriver")
    browser = next(filter(None, map(shutil.which, NAMES)), None)
    if driver is None or browser is None:
        missing = "chromedriver" if browser else "Chromium"
        unavailable(f"{missing} is not on the PATH: apt-get install chromium chromium-driver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield started
    finally:
        started.quit()


def look(driver: Any, *, width: int = 1280, dark: bool = False, media: str = "") -> None:
    """Show pages so wide, light or dark, on a screen or on paper."""
    wanted = {"prefers-color-scheme": "dark" if dark else "light", "prefers-reduced-motion": "reduce"}
    features = [{"name": name, "value": value} for name, value in wanted.items()]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
    )


def requests(driver: Any) -> list[str]:
    """The addresses that were asked for since the last call."""
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    sent = [event for event in events if event["method"] == "Network.requestWillBeSent"]
    return [event["params"]["request"]["url"] for event in sent]


@contextmanager
def opening(driver: Any) -> Iterator[Callable[..., Any]]:
    """A function that opens an address and returns the driver, for the tests of a block.

    The page may write nothing to the console, and ask for nothing but itself.
    """
    asked = ""

    def open_(address: str, **screen: Any) -> Any:
        nonlocal asked
        look(driver, **screen)
        driver.get("about:blank")  # so that another fragment of the same page opens it again
        requests(driver)
        driver.get(address)
        asked = address.partition("#")[0]
        return driver

    yield open_
    assert driver.get_log("browser") == []
    assert {url for url in requests(driver) if not url.startswith(("data:", "about:", "blob:"))} <= {asked}


def one(driver: Any, selector: str) -> Any:
    """The first element that a CSS selector names."""
    return driver.find_element("css selector", selector)
