"""The page of a trace in a real Chromium: one steps, points at weights, changes numbers; it loads nothing."""

from __future__ import annotations

import numpy as np
import pytest
from support.browser import CONTRAST, one, opening

import nnx
from nnx.pages.trace import write_trace

pytestmark = pytest.mark.slow

X, Y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float), np.array([[0], [1], [1], [0]], float)


def xor():
    layers = [nnx.Dense(2, 3), nnx.Tanh(), nnx.Dense(1), nnx.Sigmoid()]
    return nnx.Network(layers, device="numpy", dtype="float64", seed=0)


def deep():
    layers = [
        nnx.Dense(16, 12),
        nnx.ReLU(),
        nnx.Dropout(0.2),
        nnx.Dense(12),
        nnx.BatchNorm(),
        nnx.Dense(4),
        nnx.Softmax(),
    ]
    network = nnx.Network(layers, device="numpy", seed=1)
    rng = np.random.default_rng(0)
    return network.trace(rng.normal(size=(20, 16)), rng.integers(0, 4, 20), "cross_entropy", nnx.Adam(0.1))


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    place = tmp_path_factory.mktemp("pages")
    trace = xor().trace(X, Y, "binary_cross_entropy", nnx.SGD(0.5))
    return {
        "xor": write_trace(trace, place / "xor.html", "dense_1.W[1, 0]", 3),
        "deep": write_trace(deep(), place / "deep.html"),
    }


@pytest.fixture
def opened(driver, pages):
    with opening(driver) as open_:
        yield lambda name="xor", **screen: open_(pages[name].as_uri(), **screen)


def text(driver, selector):
    return one(driver, selector).text


def named(driver, label):
    return one(driver, f'[aria-label="{label}"]')


def type_into(field, value):
    from selenium.webdriver import Keys

    field.send_keys(Keys.CONTROL, "a")
    field.send_keys(value)


@pytest.mark.parametrize("name", ["xor", "deep"])
def test_it_agrees_with_nnx_and_fits_every_width(opened, name):
    for width in (1280, 360):
        driver = opened(name, width=width)
        assert text(driver, "#check").startswith("The numbers of this page agree with those of nnx")
        one(driver, '[aria-label="Last step"]').click()
        assert driver.execute_script("return document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_text_has_contrast(opened, dark):
    driver = opened(dark=dark)
    one(driver, '[aria-label="Last step"]').click()
    assert driver.execute_script(CONTRAST) == []


def test_one_steps_forward_and_back_and_sees_what_is_known(opened):
    driver = opened()
    values = "return [...document.querySelectorAll('.unit .value')].map((one) => one.textContent)"
    slopes = "return [...document.querySelectorAll('.unit .slope')].filter((one) => one.textContent).length"
    assert text(driver, "#title") == "1 of 10: The batch and the weights"
    assert driver.execute_script(values)[:5] == ["1", "1", "?", "?", "?"]
    one(driver, "#next").click()
    assert text(driver, "#title") == "2 of 10: Forward: dense_1"
    trace = xor().trace(X, Y, "binary_cross_entropy", nnx.SGD(0.5))
    shown = [value.replace("−", "-") for value in driver.execute_script(values)[2:5]]
    np.testing.assert_allclose([float(value) for value in shown], trace["dense_1"].y[3], rtol=1e-3)
    assert f"= {trace['dense_1'].y[3, 0]:.4g}" in text(driver, "#now-numbers .with-numbers")
    assert driver.execute_script(slopes) == 0
    one(driver, '[aria-label="Last step"]').click()
    assert text(driver, "#title") == "10 of 10: Update: sgd"
    assert driver.execute_script(slopes) == 8  # the loss, z of dense_2, and three units of two layers
    one(driver, "#back").click()
    assert text(driver, "#now-title") == "Backward: dense_1"


def test_the_keyboard_steps_and_reaches_every_weight(opened):
    from selenium.webdriver import Keys

    driver = opened()
    slider = one(driver, "#slider")
    slider.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert text(driver, "#title") == "3 of 10: Forward: tanh_1"
    assert slider.get_attribute("aria-valuetext") == "Forward: tanh_1"
    assert one(driver, "#title").get_attribute("role") == "status"
    named(driver, "dense_2.W[1, 0]").send_keys("")
    driver.execute_script("arguments[0].focus()", named(driver, "dense_2.W[1, 0]"))
    assert text(driver, "#weight-title") == "The weight dense_2.W[1, 0]"


def test_pointing_at_a_weight_shows_the_way_of_its_gradient(opened):
    from selenium.webdriver import ActionChains

    driver = opened()
    lit = "return [...document.querySelectorAll('.edge.strong')].length"
    at_first = driver.execute_script("return document.querySelectorAll('.edge.lit').length")
    assert at_first == driver.execute_script(lit) == 5  # the weight, tanh, dense_2, sigmoid, loss
    second = (
        "return [...document.querySelectorAll('.touch')].find((one) => one.textContent === 'dense_2.W[2, 0]')"
    )
    ActionChains(driver).move_to_element(driver.execute_script(second)).perform()
    assert driver.execute_script(lit) == 3
    assert text(driver, "#weight-title") == "The weight dense_1.W[1, 0]"
    ActionChains(driver).click().perform()
    assert text(driver, "#weight-title") == "The weight dense_2.W[2, 0]"


def test_a_changed_number_is_computed_as_nnx_does(opened):
    driver = opened()
    type_into(named(driver, "dense_1.W[1, 0]"), "0.25")
    type_into(named(driver, "input 0 of row 2"), "-1.5")
    type_into(named(driver, "target 0 of row 3"), "0.5")
    network, x, y = xor(), X.copy(), Y.copy()
    network.layers[0].W[1, 0], x[2, 0], y[3, 0] = 0.25, -1.5, 0.5
    trace = network.trace(x, y, "binary_cross_entropy", nnx.SGD(0.5))
    driver.execute_script("arguments[0].focus()", named(driver, "dense_1.W[1, 0]"))
    assert f"= {trace.parameters['dense_1.W'].gradient[1, 0]:.6g}".replace("-", "−") in text(
        driver, "#weight-numbers"
    )
    one(driver, '[aria-label="Last step"]').click()
    network.fit(x, y, loss="binary_cross_entropy", optimizer=nnx.SGD(0.5), batch_size=4, shuffle=False)
    loss = network.evaluate(x, y, loss="binary_cross_entropy")["loss"]
    assert f"loss after it: {loss:.6g}" in text(driver, "#now-numbers")
    after = f"→ {trace.parameters['dense_2.W'].after[2, 0]:.4g}".replace("-", "−")
    assert after in driver.execute_script(
        "return arguments[0].nextSibling.textContent", named(driver, "dense_2.W[2, 0]")
    )
    assert text(driver, "#check").startswith("Changed by you")
    one(driver, "#reset").click()
    assert text(driver, "#check").startswith("The numbers of this page agree")
    assert named(driver, "input 0 of row 2").get_attribute("value") == "1"


def test_the_step_can_be_taken_again_and_again(opened):
    driver = opened()
    network, losses = xor(), []
    for _ in range(3):
        losses.append(network.trace(X, Y, "binary_cross_entropy", nnx.SGD(0.5)).loss.total)
        network.fit(X, Y, loss="binary_cross_entropy", optimizer=nnx.SGD(0.5), batch_size=4, shuffle=False)
    for _ in range(2):
        one(driver, "#advance").click()
    for _ in range(5):
        one(driver, "#next").click()
    assert f"= {losses[2]:.6g}" in text(driver, "#now-numbers")
    assert "2 steps further" in text(driver, "#check")


def test_a_number_that_is_not_finite_is_said(opened):
    driver = opened()
    type_into(named(driver, "dense_1.W[1, 0]"), "1e308")
    type_into(named(driver, "input 1 of row 1"), "1e308")
    type_into(named(driver, "dense_2.W[0, 0]"), "1e308")
    type_into(named(driver, "dense_2.W[1, 0]"), "1e308")
    type_into(named(driver, "dense_1.W[1, 1]"), "1e308")
    assert one(driver, "#trouble").is_displayed()
    one(driver, "#reset").click()
    assert not one(driver, "#trouble").is_displayed()
