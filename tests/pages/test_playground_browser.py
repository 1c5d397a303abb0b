"""The playground in a real Chromium: it trains, undoes, links, and takes files; the keyboard is enough."""

from __future__ import annotations

import itertools
import json
import time

import numpy as np
import pytest
from support.browser import CONTRAST, one, opening

import nnx
from nnx.pages import write_playground

pytestmark = pytest.mark.slow

# Everything that a step changes, as text that compares exactly.
STATE = """
const { net, stepCount, epoch, at, settings } = nnxPlayground.session;
const lists = (value) => (ArrayBuffer.isView(value) ? Array.from(value) : value);
return JSON.stringify({ stepCount, epoch, at, settings, state: net.state() }, (_, value) => lists(value));
"""
TABLE = "height,width,kind\n" + "".join(
    f"{1 + at % 7},{2 + at % 5 + 3 * (at % 2)},{'oak' if at % 2 else 'elm'}\n" for at in range(40)
)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return write_playground(tmp_path_factory.mktemp("page") / "playground.html")


@pytest.fixture
def opened(driver, page):
    with opening(driver) as open_:
        yield lambda hash_="", file=page, **screen: open_(file.as_uri() + hash_, **screen)


def choose(driver, selector, value):
    driver.execute_script(
        "const one = document.querySelector(arguments[0]); one.value = arguments[1];"
        "one.dispatchEvent(new Event('change'))",
        selector, value,
    )  # fmt: skip


def train(driver, steps):
    driver.execute_script("nnxPlayground.train(arguments[0], Infinity)", steps)


def until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def said(driver, selector):
    return one(driver, selector).get_attribute("textContent")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1440, 1000, 360])
def test_it_opens_at_any_width_and_every_text_has_contrast(opened, width, dark):
    driver = opened(width=width, dark=dark)
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    driver.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
    driver.execute_script("document.querySelector('#undo').disabled = false")
    assert driver.execute_script(CONTRAST) == []


def test_play_trains_xor_to_a_low_loss(opened):
    driver = opened()
    one(driver, "#play").click()
    assert said(driver, "#play-text") == "Pause"
    until(lambda: float(said(driver, "#loss-train")) < 0.05)
    one(driver, "#play").click()
    loss = driver.execute_script(
        "const { net, problem: { train } } = nnxPlayground.session;"
        "return net.evaluate(train.x, train.y, train.rows)"
    )
    assert loss < 0.06
    assert float(said(driver, "#accuracy").removesuffix(" %")) > 90
    assert "loss" in said(driver, "#said")


@pytest.mark.parametrize("task", ["classification", "regression", "autoencoding"])
def test_every_set_is_learnt(opened, task):
    driver = opened()
    choose(driver, "#task", task)
    for name in [
        option.get_attribute("value") for option in driver.find_elements("css selector", "#data option")
    ]:
        choose(driver, "#data", name)
        train(driver, 60)
        curve = driver.execute_script(
            "return new Promise((done) => requestAnimationFrame(() =>"
            "setTimeout(() => done(nnxPlayground.session.curve))))"
        )
        assert curve["train"][-1] < curve["train"][0], name
        assert curve["held"][-1] is not None


def test_undo_restores_each_state_exactly(opened):
    driver = opened()
    choose(driver, "input[data-setting=dropout]", "0.2")
    choose(driver, "#batch", "64")
    states = [driver.execute_script(STATE)]

    def note(action):
        action()
        states.append(driver.execute_script(STATE))

    for _ in range(7):  # a new epoch begins after six steps of 64 of 375 rows
        note(one(driver, "#step").click)
    note(lambda: choose(driver, "#rate", "0.1"))
    for _ in range(3):
        note(one(driver, "#step").click)
    note(lambda: choose(driver, "#optimizer", "sgd"))
    note(one(driver, "#more").click)
    note(one(driver, "#step").click)
    note(one(driver, "#reset").click)
    for state in reversed(states[:-1]):
        one(driver, "#undo").click()
        assert driver.execute_script(STATE) == state


def test_undo_after_play_goes_back_by_one_step(opened):
    driver = opened()
    train(driver, 37)
    state = driver.execute_script(STATE)
    gradients = "return Array.from(nnxPlayground.session.net.gradients)"
    before = driver.execute_script(gradients)
    train(driver, 1)
    one(driver, "#undo").click()
    assert driver.execute_script(STATE) == state
    assert driver.execute_script(gradients) == before


def test_a_link_holds_the_state(opened):
    driver = opened()
    choose(driver, "#data", "spirals")
    choose(driver, "#optimizer", "momentum")
    choose(driver, "input[data-setting=inputNoise]", "0.1")
    train(driver, 50)
    state = driver.execute_script(STATE)
    one(driver, "#make-link").click()
    link = one(driver, "#link").get_attribute("value")
    opened("#" + link.partition("#")[2])
    assert driver.execute_script(STATE) == state
    train(driver, 5)
    again = driver.execute_script(STATE)
    opened("#" + link.partition("#")[2])
    train(driver, 5)
    assert driver.execute_script(STATE) == again
    opened("#" + link.partition("#")[2][:-40])
    assert "link" in said(driver, "#trouble")


def drop(driver, name, text):
    driver.execute_script(
        "const files = new DataTransfer(); files.items.add(new File([arguments[1]], arguments[0]));"
        "document.querySelector('#drop').dispatchEvent("
        "new DragEvent('drop', { dataTransfer: files, bubbles: true, cancelable: true }))",
        name, text,
    )  # fmt: skip


def test_a_dropped_file_is_learnt(opened):
    driver = opened()
    drop(driver, "trees.csv", TABLE)
    until(lambda: driver.execute_script("return nnxPlayground.session.settings.data") == "own")
    problem = driver.execute_script(
        "const { names, classes, task } = nnxPlayground.session.problem; return [names, classes, task]"
    )
    assert problem == [["height", "width"], ["elm", "oak"], "classification"]
    train(driver, 100)
    choose(driver, "#task", "regression")
    assert driver.execute_script("return nnxPlayground.session.problem.target") == "width"
    choose(driver, "#task", "autoencoding")
    train(driver, 10)


def test_a_link_to_ones_own_data_waits_for_the_file(opened):
    driver = opened()
    drop(driver, "trees.csv", TABLE)
    until(lambda: driver.execute_script("return nnxPlayground.session.settings.data") == "own")
    train(driver, 30)
    state = driver.execute_script(STATE)
    one(driver, "#make-link").click()
    link = one(driver, "#link").get_attribute("value")
    assert "elm" not in link
    opened("#" + link.partition("#")[2])
    assert "made with your file trees.csv: drop it here" in said(driver, "#trouble")
    drop(driver, "trees.csv", TABLE)
    until(lambda: driver.execute_script(STATE) == state)


def test_a_link_without_room_for_the_weights_says_so(opened):
    driver = opened()
    choose(driver, "#data", "digits")
    one(driver, "#make-link").click()
    assert "too many for a link" in said(driver, "#link-note")
    link = one(driver, "#link").get_attribute("value")
    assert len(link) < 2000
    opened("#" + link.partition("#")[2])
    assert driver.execute_script("return nnxPlayground.session.problem.image")


def test_undo_goes_back_to_the_table_before(opened):
    driver = opened()
    drop(driver, "first.csv", TABLE)
    until(lambda: driver.execute_script("return nnxPlayground.session.settings.table") == "first.csv")
    drop(driver, "second.csv", "a,b\n1,2\n2,3.5\n3,5\n4,9\n5,7\n")
    until(lambda: driver.execute_script("return nnxPlayground.session.settings.table") == "second.csv")
    one(driver, "#undo").click()
    assert driver.execute_script("return nnxPlayground.session.problem.names") == ["height", "width"]
    assert one(driver, "#target option:checked").text == "kind"
    choose(driver, "#batch", "8")
    choose(driver, "input[data-setting=held]", "0.5")
    assert driver.execute_script("return nnxPlayground.session.problem.names") == ["height", "width"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a,b\n1,2\n3\n4,5\n6,7\n8,9\n", "t.csv: line 3: has 1 column, but line 1 has 2"),
        ("a,b\n1,2\n3,\n4,5\n6,7\n", "t.csv: line 3, column 2 (b): is empty"),
        ("a,b\n1,2\n3,x\n4,5\n6,7\n", "t.csv: line 3, column 2 (b): “x” is not a number"),
        ("a\n1\n2\n3\n4\n", "t.csv: has 1 column, but the playground takes 2 to 64"),
        ("", "t.csv: holds no rows"),
        ('a,b\n1,"2\n3,4\n5,6\n', "t.csv: line 2: a quoted cell does not end"),
        ("a,b\n1,2\n", "t.csv: has 1 row, but needs at least 4"),
        ("a,b\n" + "oak,elm\n" * 5, "no column of numbers is left as an input"),
    ],
)  # fmt: skip
def test_a_bad_file_is_refused_in_one_line_and_changes_nothing(opened, text, line):
    driver = opened()
    state = driver.execute_script(STATE)
    drop(driver, "t.csv", text)
    until(lambda: line in said(driver, "#trouble"))
    assert driver.execute_script(STATE) == state
    drop(driver, "good.csv", TABLE.replace(",", ";"))
    until(lambda: driver.execute_script("return nnxPlayground.session.settings.table") == "good.csv")
    assert one(driver, "#trouble").get_attribute("hidden")


def test_a_file_of_the_command_line_is_there_at_the_start(opened, tmp_path):
    (tmp_path / "trees.csv").write_text(TABLE)
    made = write_playground(tmp_path / "page.html", tmp_path / "trees.csv", target="width")
    driver = opened(file=made)
    assert driver.execute_script("return nnxPlayground.session.problem.names") == ["height"]
    assert driver.execute_script("return nnxPlayground.session.settings.task") == "regression"
    train(driver, 20)


@pytest.mark.parametrize(("task", "data"), [("classification", "moons"), ("autoencoding", "digits")])
def test_code_and_files_give_the_same_network_in_nnx(opened, tmp_path, monkeypatch, task, data):
    driver = opened()
    driver.execute_cdp_cmd("Page.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    choose(driver, "#task", task)
    choose(driver, "#data", data)
    choose(driver, "input[data-setting=dropout]", "0.1")
    count = """const { settings, problem } = nnxPlayground.session;
      return Math.ceil(problem.train.rows / settings.batch);"""
    train(driver, 2 * driver.execute_script(count))
    one(driver, "#save-weights").click()
    one(driver, "#save-data").click()
    until(lambda: {"playground.safetensors", "playground.csv"} <= {path.name for path in tmp_path.iterdir()})
    until(lambda: "epochs=2" in said(driver, "#code"))
    network = nnx.Network.load(tmp_path / "playground.safetensors", device="cpu")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(said(driver, "#code"), "code", "exec"), names)
    for name, values in names["network"].weights().items():
        np.testing.assert_allclose(network.weights()[name], values, rtol=1e-9, atol=1e-9, err_msg=name)
    shown = driver.execute_script("const { net, problem } = nnxPlayground.session;"
                                  "return Array.from(net.predict(problem.train.x, 3))")  # fmt: skip
    np.testing.assert_allclose(network.predict(names["x"][:3]).ravel(), shown, atol=1e-12)


def test_it_can_be_used_by_keyboard_alone(opened):
    from selenium.webdriver import ActionChains, Keys

    def press(*keys):
        ActionChains(driver).send_keys(*keys).perform()

    def focused():
        return driver.execute_script("const { id, dataset } = document.activeElement;"
                                     "return id || `${dataset.group}.${dataset.unit}`")  # fmt: skip

    driver = opened()
    visited = []
    for _ in range(60):
        press(Keys.TAB)
        visited.append(focused())
        if visited[-1] == "make-link":
            break
    wanted = [
        "play",
        "step",
        "task",
        "data",
        "open",
        "loss",
        "rate",
        "seed",
        "more",
        "0.0",
        "copy-code",
        "make-link",
    ]
    assert [name for name in visited if name in wanted] == wanted
    assert len([name for name in visited if name[0].isdigit()]) == 1  # the neurons are one stop
    driver.execute_script("document.querySelector('#step').focus()")
    press(Keys.ENTER)
    assert said(driver, "#count") in ("0", "1")
    until(lambda: said(driver, "#count") == "1")
    driver.execute_script("document.querySelector('button.neuron').focus()")
    press(Keys.ARROW_RIGHT, Keys.ARROW_DOWN)
    assert focused() == "1.1"
    press(Keys.SPACE)
    assert one(driver, "button.neuron[data-group='1'][data-unit='1']").get_attribute("aria-pressed") == "true"
    assert "Hidden 2, neuron 2" in said(driver, "#neuron-note")


def test_a_screen_reader_finds_a_name_for_everything(opened):
    driver = opened()
    unnamed = """return [...document.querySelectorAll("button, select, input, canvas[role=img]")]
    .filter((one) =>
      !one.hidden && !(one.ariaLabel || one.textContent.trim() && one.tagName === "BUTTON"
        || [...(one.labels ?? [])].some((label) => label.textContent.trim()))).map((one) => one.outerHTML)"""
    assert driver.execute_script(unnamed) == []
    levels = driver.execute_script(
        "return [...document.querySelectorAll('h1, h2, h3')].map((one) => Number(one.tagName[1]))"
    )
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    ids = driver.execute_script("return [...document.querySelectorAll('[id]')].map((one) => one.id)")
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(("wish", "most"), [("reduce", 10), ("no-preference", 200)])
def test_who_asked_for_less_motion_sees_fewer_pictures(opened, wish, most):
    driver = opened()
    features = [{"name": "prefers-reduced-motion", "value": wish}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    # Frames that are 16 ms apart by their own clock, however long they take.
    drawn = driver.execute_async_script("""
      const [done, real, app] = [arguments[0], requestAnimationFrame, nnxPlayground];
      let clock = 1e6, count = 0, before = 0;
      window.requestAnimationFrame = (call) => real(() => {
        if (count === 1) { app.play(); before = app.frames; }
        call(clock += 16);
        count += 1;
        if (count === 201) { window.requestAnimationFrame = real; app.pause(); done(app.frames - before); }
      });""")
    assert most * 0.7 <= drawn <= most


def test_a_loss_that_is_not_finite_stops_the_training(opened):
    driver = opened()
    choose(driver, "#task", "regression")
    choose(driver, "#optimizer", "sgd")
    choose(driver, "#rate", "3")
    choose(driver, ".layer-controls select", "relu")
    choose(driver, ".layer:nth-child(3) .layer-controls select", "identity")
    driver.execute_script("nnxPlayground.play()")
    until(lambda: "no longer finite" in said(driver, "#trouble"))
    assert said(driver, "#play-text") == "Play"
    state = json.loads(driver.execute_script(STATE))
    assert np.isfinite(state["state"]["values"]).all()
