"""The page in Chromium, with no network but the site's own folder."""

import functools
import http.server
import itertools
import json
import shutil
import threading
from types import SimpleNamespace

import pytest

from labkit import sheets
from labkit.errors import LabkitError
from labkit.handcalc import convolve, html, question
from labkit.handcalc.exercises import KINDS, LEVELS
from labkit.handcalc.questions import QUESTIONS
from labkit.handcalc.windows import flat
from labkit.site import desk, pyodide
from labkit.site.build import write_site

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")

# question 1a of TDT4265 as the report prints it: two entries changed places
REPORTED = ["-11", "2", "4", "-1", "7", "-24", "8", "4", "-5", "12", "-19", "10", "12", "-3", "15"]
RIGHT = ["-11", "2", "4", "-1", "7", "-24", "8", "12", "-5", "12", "-19", "10", "4", "-3", "15"]
READY = "#status[data-state=ready]"
SECONDS = 120_000  # milliseconds: pyodide on a machine that is busy with other tests


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder to serve, which has the site in a folder below, as GitHub's pages have."""
    try:
        pyodide.files()
    except LabkitError as error:
        pytest.skip(f"no pyodide: {error}")
    root = tmp_path_factory.mktemp("served")
    write_site(root / "some" / "where")
    return root


@pytest.fixture(scope="module")
def address(root):
    handler = functools.partial(Quiet, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/some/where/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def visit(browser, address):
    """Opens a page; `page.seen` has what went elsewhere, and what the console complained of."""

    def opened(at=address, ready=True, **settings):
        context = browser.new_context(**settings)
        seen = SimpleNamespace(elsewhere=[], complaints=[])

        def guard(route):
            if route.request.url.startswith((address, "data:", "file:")):
                route.continue_()
            else:
                seen.elsewhere.append(route.request.url)
                route.abort()

        context.route("**/*", guard)
        page = context.new_page()
        page.seen = seen
        page.on("console", lambda it: it.type != "log" and seen.complaints.append(it.text))
        page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        page.goto(at)
        if ready:
            page.wait_for_selector(READY, timeout=SECONDS)
        return page

    return opened


@pytest.fixture(scope="module")
def one_page(visit):
    return visit()


@pytest.fixture
def page(one_page):
    """The page, which the tests of this file share; it shall never complain or look elsewhere."""
    yield one_page
    assert one_page.seen.complaints == []
    assert one_page.seen.elsewhere == []


def form(page, name):
    return page.locator(f'form[data-task="{name}"]')


def answer(page, name, cells):
    inputs = form(page, name).locator("input[type=text]")
    for number, cell in enumerate(cells):
        inputs.nth(number).fill(cell)
    form(page, name).get_by_role("button", name="Check").click()


def right_cells(task) -> list[str]:
    result = task.result
    return [str(entry) for entry in (result if isinstance(result, tuple) else flat(result))]


# ---- answers


def test_the_reported_answer_of_1a_is_wrong_and_the_mistake_has_a_name(page):
    answer(page, "tdt4265/1a", REPORTED)
    verdict = form(page, "tdt4265/1a").locator(".verdict")
    sync_api.expect(verdict).to_contain_text("✗ 2 entries differ: row 2 column 3, row 3 column 3")
    sync_api.expect(verdict).to_contain_text("it looks as if two entries changed places")
    assert verdict.get_attribute("role") == "status"  # what a screen reader reads out
    wrong = form(page, "tdt4265/1a").locator("input[aria-invalid=true]")
    assert wrong.count() == 2
    cell = form(page, "tdt4265/1a").get_by_role("textbox", name="row 2 column 3")
    assert cell.get_attribute("aria-invalid") == "true"
    assert form(page, "tdt4265/1a").locator(".sign").all_inner_texts().count("✗") == 2


def test_the_working_is_shown_when_an_answer_was_given(page):
    button = form(page, "tdt4265/1f").get_by_role("button", name="Show the working")
    assert not button.is_visible()
    answer(page, "tdt4265/1f", ["252", "253"])
    button.click()
    working = form(page, "tdt4265/1f").locator(".working")
    sync_api.expect(working).to_contain_text("o = ⌊(254 + 2·0 − 3)/1⌋ + 1")
    form(page, "tdt4265/1f").get_by_role("button", name="Hide the working").click()
    assert not working.is_visible()


def test_the_working_of_a_convolution_has_a_slider(page):
    answer(page, "tdt4265/1a", REPORTED)
    form(page, "tdt4265/1a").get_by_role("button", name="Show the working").click()
    slider = form(page, "tdt4265/1a").get_by_role("slider", name="step")
    slider.focus()
    for _ in range(7):
        page.keyboard.press("ArrowRight")
    shown = form(page, "tdt4265/1a").locator(".working .sum")
    sync_api.expect(shown).to_contain_text("row 2, column 3:")
    sync_api.expect(form(page, "tdt4265/1a").locator("output")).to_have_text("8 of 15")


def test_the_keys_lead_from_cell_to_cell(page):
    cells = form(page, "nn_hw1/1-forward").locator("input")
    cells.nth(0).click()
    for keys, at in (
        (["2", "Enter"], 1),
        (["0", "ArrowDown"], 3),
        (["ArrowUp"], 1),
        (["ArrowLeft"], 0),
        (["ArrowRight"], 1),
        (["ArrowRight"], 2),
    ):
        for key in keys:
            page.keyboard.press(key)
        assert cells.nth(at).evaluate("it => it === document.activeElement"), keys
    page.keyboard.type("12")
    page.keyboard.press("ArrowLeft")  # within the cell, between 1 and 2
    assert cells.nth(2).evaluate("it => it === document.activeElement && it.selectionStart === 1")
    page.keyboard.press("Enter")
    page.keyboard.type("18")
    page.keyboard.press("Enter")  # behind the last cell it checks
    verdict = form(page, "nn_hw1/1-forward").locator(".verdict")
    sync_api.expect(verdict).to_have_text("✓ correct")


def test_a_sign_goes_when_its_cell_is_changed(page):
    answer(page, "tdt4265/1e", ["254", "255"])
    signs = form(page, "tdt4265/1e").locator(".sign")
    sync_api.expect(signs.nth(1)).to_have_text("✗")
    form(page, "tdt4265/1e").locator("input").nth(1).fill("254")
    assert signs.all_inner_texts() == ["✓", ""]


def test_the_right_answer_of_every_question_is_accepted(page):
    right = {task.name: right_cells(task) for task in QUESTIONS.values()}
    page.evaluate(
        """right => {
          for (const [name, cells] of Object.entries(right)) {
            const form = document.querySelector(`form[data-task="${name}"]`);
            form.querySelectorAll("fieldset input").forEach((it, i) => {
              if (it.type === "radio") it.checked = it.value === cells[0];
              else it.value = cells[i];
            });
            form.requestSubmit();
          }
        }""",
        right,
    )
    accepted = page.locator("form.answer .verdict[data-right=true]")
    sync_api.expect(accepted).to_have_count(len(right))


# ---- stepper and exercises


def test_a_step_is_the_one_that_python_shows_elsewhere(page):
    worked = convolve([[1, 2, 3], [4, 5, 6], [7, 8, 9]], [[0, 1], [2, 3]], stride=2, padding=1)
    stepper = page.locator("#stepper")
    stepper.get_by_label("image").fill("1 2 3\n4 5 6\n7 8 9")
    stepper.get_by_label("kernel").fill("0 1\n2 3")
    stepper.get_by_label("stride").fill("2")
    stepper.get_by_role("slider", name="step").fill("4")
    sync_api.expect(stepper.locator("output")).to_have_text("4 of 4")
    assert stepper.locator(".step").evaluate(
        """(it, expected) => {
          const other = document.createElement("div");
          other.innerHTML = expected;
          return it.innerHTML === other.innerHTML;
        }""",
        html(worked, at=(1, 1)),
    )


def test_settings_that_do_not_fit_are_met_by_a_sentence(page):
    stepper = page.locator("#stepper")
    stepper.get_by_label("stride").fill("0")
    sync_api.expect(stepper.locator(".verdict")).to_contain_text("stride")
    assert stepper.get_by_role("slider", name="step").is_disabled()
    stepper.get_by_label("stride").fill("1")
    sync_api.expect(stepper.locator(".verdict")).to_be_empty()
    stepper.get_by_label("operation").select_option("average pooling")
    sync_api.expect(stepper.get_by_label("kernel")).to_be_hidden()
    assert not stepper.get_by_label("dilation").is_visible()
    assert stepper.get_by_label("window").is_visible()


def test_exercises_are_drawn_and_checked(page):
    exercises = page.locator("#exercises")
    exercises.get_by_label("kind").select_option("convolution")
    exercises.get_by_label("level").select_option("3")
    exercises.get_by_label("seed").fill("3")
    exercises.get_by_label("number").fill("2")
    exercises.get_by_role("button", name="Draw").click()
    sync_api.expect(page.locator("#drawn article")).to_have_count(2)
    assert page.locator("#drawn mtable").count() > 2
    name = "convolution/3/3/2"
    answer(page, name, right_cells(desk.find_task(name)))
    verdict = form(page, name).locator(".verdict")
    sync_api.expect(verdict).to_have_text("✓ correct")
    exercises.get_by_label("seed").fill("many")
    exercises.get_by_role("button", name="Draw").click()
    said = exercises.locator(".verdict").first
    sync_api.expect(said).to_have_text("seed: 'many' is no whole number; write one")


def test_its_python_draws_the_same_exercises(page):
    """pyodide has another version of Python than the one that runs this."""
    for kind, level in itertools.product(KINDS, LEVELS):
        arguments = json.dumps([kind, str(level), "11", "3"])
        drawn = page.evaluate("async it => (await desk).call('drawn', it)", arguments)
        assert drawn == desk.call("drawn", arguments)


# ---- answer sheets


def test_a_sheet_is_downloaded_checked_and_loaded_again(page, tmp_path):
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Remove all answers").click()
    answer(page, "tdt4265/1a", REPORTED)
    answer(page, "tdt4265/1e", ["254", "254"])
    form(page, "tdt4265/1b").get_by_label("max pooling").check()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download answers.yaml").click()
    assert download.value.suggested_filename == "answers.yaml"
    download.value.save_as(tmp_path / "answers.yaml")
    checked = sheets.check_sheet(tmp_path / "answers.yaml")
    assert [(it.task.name, it.verdict.right) for it in checked] == [
        ("tdt4265/1a", False),
        ("tdt4265/1b", True),
        ("tdt4265/1e", True),
    ]

    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Remove all answers").click()
    cells = form(page, "tdt4265/1a").locator("fieldset input")
    assert {cell.input_value() for cell in cells.all()} == {""}
    assert page.locator("form.answer .verdict:not(:empty)").count() == 0
    page.locator("#sheet-file").set_input_files(tmp_path / "answers.yaml")
    sync_api.expect(page.locator("#sheet .verdict")).to_have_text("3 answers taken over.")
    assert [cell.input_value() for cell in cells.all()] == REPORTED
    assert form(page, "tdt4265/1b").get_by_label("max pooling").is_checked()


def test_answers_survive_a_reload_and_may_be_given_before_the_checker_is_there(visit):
    page = visit(ready=False)
    answer(page, "tdt4265/1a", REPORTED)
    verdict = form(page, "tdt4265/1a").locator(".verdict")
    sync_api.expect(verdict).to_contain_text("✗ 2 entries differ", timeout=SECONDS)
    form(page, "tdt4265/1b").get_by_label("max pooling").check()
    page.locator("#exercises").get_by_label("kind").select_option("pooling")
    page.locator("#exercises").get_by_role("button", name="Draw").click()
    form(page, "pooling/1/0/2").locator("input").first.fill("7")
    page.reload()
    cells = form(page, "tdt4265/1a").locator("input").all()
    assert [cell.input_value() for cell in cells] == REPORTED  # before the checker is loaded
    assert form(page, "tdt4265/1b").get_by_label("max pooling").is_checked()
    drawn = form(page, "pooling/1/0/2").locator("input").first
    drawn.wait_for(timeout=SECONDS)
    sync_api.expect(drawn).to_have_value("7")
    assert page.seen.complaints == page.seen.elsewhere == []


# ---- where the checker cannot be had


def test_without_a_server_it_says_what_to_do(visit, root):
    page = visit((root / "some" / "where" / "index.html").as_uri(), ready=False)
    status = page.locator("#status")
    sync_api.expect(status).to_contain_text("cannot be loaded from a file")
    sync_api.expect(status).to_contain_text("python3 -m http.server")
    answer(page, "tdt4265/1c", ["3"])
    verdict = form(page, "tdt4265/1c").locator(".verdict")
    sync_api.expect(verdict).to_contain_text("python3 -m http.server")


def test_without_pyodide_it_says_so(visit, root):
    there, away = root / "some" / "where" / "pyodide", root / "away"
    there.rename(away)
    try:
        page = visit(ready=False)
        sync_api.expect(page.locator("#status")).to_contain_text("could not be loaded")
    finally:
        away.rename(there)


def test_without_javascript_the_questions_can_be_read(visit):
    page = visit(ready=False, java_script_enabled=False)
    assert page.get_by_role("heading", level=3).count() == len(QUESTIONS)
    assert "serve\nthis folder" in page.locator("#status").text_content()


# ---- look


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_narrow_screen_and_its_colours_can_be_read(page, scheme):
    answer(page, "tdt4265/1a", REPORTED)
    page.locator(".verdict[data-right=false]").first.wait_for()
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 420, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 420
    for cell in form(page, "tdt4265/1a").locator("input").all():
        box = cell.bounding_box()
        assert box["x"] + box["width"] <= 420
    body = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (luminance(body) < 0.1) == (scheme == "dark")
    for selector in (
        "#status",
        ".verdict[data-right=false] > p",
        ".cell[data-sign='✗'] input",
        "button[type=submit]",
        ".question h3",
    ):
        text, paper = page.locator(selector).first.evaluate(
            """it => {
              let back = it;
              while (getComputedStyle(back).backgroundColor === "rgba(0, 0, 0, 0)") {
                back = back.parentElement;
              }
              return [getComputedStyle(it).color, getComputedStyle(back).backgroundColor];
            }"""
        )
        light, dark = sorted([luminance(text), luminance(paper)], reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, selector  # WCAG 2, AA


def luminance(colour: str) -> float:
    """Relative luminance of `rgb(…)` as WCAG 2 defines it."""
    channels = [int(part) / 255 for part in colour.strip("rgba()").split(",")[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_report_s_numbers_are_what_this_file_checks():
    assert right_cells(question("tdt4265/1a")) == RIGHT
