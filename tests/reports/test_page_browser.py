"""The page of a run in a real Chromium: it opens, loads nothing else, and its controls work."""

from __future__ import annotations

import base64
import itertools
import json
import math
from collections import Counter

import pytest
from support.browser import CONTRAST, look, one, opening, requests

from nnx import reports

pytestmark = pytest.mark.slow

SCREENS = {"wide": 1280, "phone": 360}


@pytest.fixture(scope="module")
def pages(run_folders, tmp_path_factory):
    place = tmp_path_factory.mktemp("pages")
    several = [run_folders["xor"], run_folders["other"], run_folders["autoencoder"], run_folders["svm"]]
    found = {name: folder / "report.html" for name, folder in run_folders.items()}
    return found | {"several": reports.write_report(several, place / "several.html")}


@pytest.fixture
def opened(driver, pages):
    with opening(driver) as open_:
        yield lambda name, **screen: open_(pages[name].as_uri(), **screen)


def every(driver, selector):
    return driver.find_elements("css selector", selector)


def press(driver, *keys):
    from selenium.webdriver import ActionChains

    ActionChains(driver).send_keys(*keys).perform()


@pytest.mark.parametrize(
    "name", ["autoencoder", "variational", "classifier", "svm", "xor", "compare", "values", "several"]
)
def test_it_opens_without_a_message_or_a_request_at_any_width(opened, name):
    for width in SCREENS.values():
        driver = opened(name, width=width)
        assert driver.title.endswith("nnx report")
        assert driver.execute_script("return document.documentElement.scrollWidth") <= width
        assert driver.execute_script("return innerWidth") == width
        broken = "return [...document.images].filter((i) => !i.complete || !i.naturalWidth).length"
        assert driver.execute_script(broken) == 0


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["several", "variational", "compare"])
def test_every_text_has_contrast(opened, name, dark):
    driver = opened(name, dark=dark)
    page = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, page[4:-1].split(","))) < 128 * 3) is dark
    driver.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
    assert driver.execute_script(CONTRAST) == []


@pytest.mark.parametrize("name", ["several", "train", "svm", "values"])
def test_no_number_is_torn_on_a_phone(opened, name):
    driver = opened(name, width=360)
    torn = """return [...document.querySelectorAll("#results td, #timing td, .figures dd")].filter((cell) => {
      const range = document.createRange();
      range.selectNodeContents(cell);
      return new Set([...range.getClientRects()].map((box) => box.top)).size > 1;
    }).map((cell) => cell.textContent)"""
    assert driver.execute_script(torn) == []


# OKLab, whose distances are those the eye sees: Björn Ottosson, A perceptual color space (2020).
OKLAB = """
const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
return [...document.querySelectorAll(".classes button")].slice(0, 10).map((button) => {
  canvas.fillStyle = getComputedStyle(button).borderColor; canvas.fillRect(0, 0, 1, 1);
  const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3)
    .map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s];
});
"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_ten_classes_have_colours_that_are_told_apart(opened, dark):
    colours = opened("autoencoder", dark=dark).execute_script(OKLAB)
    assert len(colours) == 10
    assert (
        min(math.dist(a, b) for a, b in itertools.combinations(colours, 2)) > 0.15
    )  # a hue's neighbours: 0.1


def test_the_map_fills_its_card_and_images_fill_their_rows(opened):
    driver = opened("autoencoder", width=1280)
    wide = """const map = document.querySelector(".map"), svg = map.querySelector("svg");
      const box = svg.getBBox(), sheet = svg.viewBox.baseVal;
      const filled = Math.max(box.width / sheet.width, box.height / sheet.height);
      return [svg.clientWidth / map.clientWidth, filled]"""
    across, filled = driver.execute_script(wide)
    assert across > 0.95
    assert filled > 0.9
    for width in (1280, 360):
        driver = opened("autoencoder", width=width)
        tops = driver.execute_script(
            "return [...document.querySelectorAll('.pairs li')].map((one) => one.getBoundingClientRect().top)"
        )
        assert len(set(Counter(tops).values())) == 1, width


def test_the_pointer_over_a_curve_reads_its_values(opened, run_folders):
    from selenium.webdriver import ActionChains

    driver = opened("autoencoder")
    area, readout = one(driver, ".area"), one(driver, ".scrub output")
    assert readout.text.startswith("epoch 3: training ")
    ActionChains(driver).move_to_element_with_offset(area, -area.size["width"] // 2 + 2, 0).perform()
    recorded = (run_folders["autoencoder"] / "history.csv").read_text().splitlines()[1].split(",")
    assert readout.text == f"epoch 1: training {float(recorded[1]):.5g}, validation {float(recorded[2]):.5g}"
    assert one(driver, ".dot").value_of_css_property("left") == "0px"


def test_the_keyboard_steps_along_a_curve(opened):
    from selenium.webdriver import Keys

    driver = opened("xor")
    slider, readout = one(driver, ".scrub input"), one(driver, ".scrub output")
    driver.execute_script("arguments[0].focus()", slider)
    press(driver, Keys.HOME)
    assert readout.text.startswith("epoch 1: training 0.")
    press(driver, Keys.ARROW_RIGHT)
    assert readout.text.startswith("epoch 4: ")  # 400 of 1,000 epochs are drawn
    press(driver, Keys.END)
    assert readout.text.startswith("epoch 1,000: ")
    assert slider.get_attribute("aria-valuetext") == readout.text
    assert slider.accessible_name == "epoch shown of loss"
    assert readout.get_attribute("aria-live") == "polite"


def test_several_runs_are_read_together(opened):
    from selenium.webdriver import Keys

    driver = opened("several")
    driver.execute_script("arguments[0].focus()", one(driver, ".scrub input"))
    press(driver, Keys.HOME)
    text = one(driver, ".scrub output").text
    assert all(f"{name}, training " in text for name in ("xor", "other", "autoencoder"))
    press(driver, Keys.END)
    assert "other" not in one(driver, ".scrub output").text  # it was trained for fewer epochs
    cards = every(driver, "#surface article")
    assert cards[0].location["y"] == cards[1].location["y"]
    assert cards[0].location["x"] < cards[1].location["x"]


def test_a_cell_opens_the_digits_behind_it_by_mouse_and_by_keyboard(opened):
    from selenium.webdriver import Keys

    driver = opened("svm")
    cells = every(driver, ".matrix button")

    def shown():
        return [panel for panel in every(driver, ".panel") if panel.is_displayed()]

    (first,) = shown()  # of the most frequent mistake
    assert int(first.text.split(": ")[1].split(",")[0]) == max(int(cell.text) for cell in cells)
    closed = next(cell for cell in cells if cell.get_attribute("aria-expanded") == "false")
    closed.click()
    (panel,) = shown()
    assert panel.get_attribute("id") == closed.get_attribute("aria-controls")
    assert closed.accessible_name.startswith(panel.text.split(":")[0])
    assert len(panel.find_elements("css selector", "img")) == min(int(closed.text), 24)
    press(driver, Keys.ENTER)
    assert (shown(), closed.get_attribute("aria-expanded")) == ([], "false")
    press(driver, Keys.ARROW_DOWN, Keys.SPACE)
    below = driver.switch_to.active_element
    assert int(below.get_attribute("data-row")) > int(closed.get_attribute("data-row"))
    assert below.get_attribute("aria-expanded") == "true"
    assert len(shown()) == 1
    assert sum(cell.get_attribute("tabindex") == "0" for cell in cells) == 1  # one stop for the Tab key
    outline = driver.execute_script("return getComputedStyle(arguments[0]).outlineStyle", below)
    assert outline == "solid"


def test_classes_of_the_map_can_be_seen_alone(opened):
    driver = opened("autoencoder")
    button = every(driver, ".classes button")[3]
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    seen = "return [...document.querySelectorAll('.points')].map((p) => getComputedStyle(p).opacity > 0.5)"
    assert driver.execute_script(seen) == [place == 3 for place in range(10)]
    button.click()
    assert all(driver.execute_script(seen))


def test_the_first_stop_of_the_tab_key_skips_to_the_results(opened):
    from selenium.webdriver import Keys

    driver = opened("autoencoder")
    press(driver, Keys.TAB)
    link = driver.switch_to.active_element
    assert link.text == "Skip to the results"
    assert link.location["x"] >= 0
    press(driver, Keys.ENTER)
    assert driver.switch_to.active_element.get_attribute("id") == "results"


def test_it_prints_with_everything_open(opened):
    driver = opened("svm", dark=True)
    printed = base64.b64decode(driver.print_page())
    assert printed.startswith(b"%PDF")
    assert printed.count(b"/Type /Page\n") >= 2
    assert not every(driver, "details[open]")  # as it was, after
    assert len(every(driver, ".panel:not([hidden])")) == 1
    driver.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert not every(driver, ".panel[hidden], details:not([open])")
    driver.execute_script("dispatchEvent(new Event('afterprint'))")
    assert len(every(driver, ".panel:not([hidden])")) == 1
    look(driver, dark=True, media="print")
    assert (
        driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        == "rgb(255, 255, 255)"
    )
    assert driver.execute_script(CONTRAST) == []
    assert not one(driver, "nav").is_displayed()


def test_without_a_script_the_digits_are_all_there(driver, pages):
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        driver.get(pages["svm"].as_uri())
        assert all(panel.is_displayed() for panel in every(driver, ".panel"))
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_an_attack_in_a_name_does_not_run(driver, run_folders, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    stored = json.loads((run_folders["xor"] / "result.json").read_text())
    attack = '"><img src=x onerror="document.title=1"><script>document.title=1</script>'
    del stored["checksums"]
    stored |= {"preset": attack, "notes": [attack], "versions": {"nnx": attack}}
    (folder / "result.json").write_text(json.dumps(stored))
    (folder / "history.csv").write_text('epoch,"' + attack.replace('"', '""') + '"\n1,1\n2,0.5\n')
    requests(driver)
    uri = reports.write_report([folder]).as_uri()
    look(driver)
    driver.get(uri)
    assert driver.title.endswith("nnx report")
    assert attack in one(driver, "h1").text
    assert one(driver, ".scrub output").text.startswith("epoch 2: training 0.5")
    assert [url for url in requests(driver) if not url.startswith("data:")] == [uri]
    assert driver.get_log("browser") == []
