"""Errors as IPython shows them: in a terminal, in JupyterLab, in a notebook run for a report."""

import os
import re

import pytest
from IPython.core.interactiveshell import InteractiveShell

from labkit import progress
from labkit.errors import LabkitError, UsageError, tell_value_errors
from labkit.training.live import Interrupted
from labkit.training.strict import ConfigError
from labkit.training.sweep import UnknownError


@pytest.fixture(scope="module")
def shell():
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


@pytest.fixture
def said(shell, monkeypatch):
    """Runs a cell that raises; returns what IPython shows of it, without colours."""
    told = []
    monkeypatch.delenv(progress.RELAY_VARIABLE, raising=False)
    monkeypatch.setattr(shell, "_showtraceback", lambda kind, value, lines: told.append(lines))

    def run(error: BaseException | None, code: str = "def f(): raise error\nf()") -> str:
        told.clear()
        shell.user_ns["error"] = error
        shell.run_cell(code)
        return re.sub(r"\x1b\[[\d;]*m", "", "\n".join(told[-1]))

    return run


KINDS = [LabkitError, UsageError, ConfigError, UnknownError]


@pytest.mark.parametrize("kind", KINDS)
def test_in_a_terminal_it_is_a_line_and_the_way_to_the_traceback(said, kind):
    assert said(kind("no data; give some")) == (
        f"{kind.__name__}: no data; give some\n%tb shows the traceback"
    )
    traceback = said(None, "%tb")
    assert "in f()" in traceback
    assert traceback.endswith(f"{kind.__name__}: no data; give some")


@pytest.mark.parametrize("kind", KINDS)
def test_in_jupyterlab_the_traceback_is_folded(said, monkeypatch, kind):
    shown = []
    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    monkeypatch.setattr(progress.Shown, "show", lambda self, body, text: shown.append(body))
    assert said(kind("2 < 3; take 4")) == f"{kind.__name__}: 2 < 3; take 4"
    (body,) = shown
    assert body.startswith("<details><summary>traceback</summary><pre>")
    assert "in f()" in body
    assert "2 &lt; 3; take 4</pre>" in body
    assert "\x1b" not in body
    assert "in f()" in said(None, "%tb")
    assert len(shown) == 1


def test_in_a_notebook_that_runs_for_a_report_it_is_as_of_any_error(said, monkeypatch):
    monkeypatch.setenv(progress.RELAY_VARIABLE, "1")
    as_ever = said(ValueError("no data"))
    assert said(LabkitError("no data")) == re.sub(
        r"ValueError( *)Traceback",
        lambda it: "LabkitError" + it[1][1:] + "Traceback",
        as_ever,
    ).replace("ValueError: ", "LabkitError: ")


class TestValueErrors:
    MISTAKEN = "from labkit.handcalc import convolve\nconvolve([[1]], [[1, 2]])"

    @pytest.fixture(autouse=True)
    def told(self, shell):
        tell_value_errors()
        yield
        shell.set_custom_exc((), None)

    def test_those_of_labkit_are_a_line_as_well(self, said):
        line, remedy = said(None, self.MISTAKEN).splitlines()
        assert line.startswith("ValueError: kernel ")
        assert remedy == "%tb shows the traceback"
        assert "in convolve(" in said(None, "%tb")

    def test_those_of_others_are_as_ever(self, said):
        assert "Traceback" in said(None, "int('x')")
        assert "Traceback" in said(None, "[][0]")

    def test_those_with_a_line_of_their_own_keep_it(self, said):
        assert said(ConfigError("one")) == "ConfigError: one\n%tb shows the traceback"

    def test_not_where_a_report_is_made(self, said, shell, monkeypatch):
        shell.set_custom_exc((), None)
        monkeypatch.setenv(progress.RELAY_VARIABLE, "1")
        tell_value_errors()
        assert "Traceback" in said(None, self.MISTAKEN)


def test_an_interrupt_is_a_line_alone(said, monkeypatch):
    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    monkeypatch.setattr(progress.Shown, "show", lambda *shown: pytest.fail(str(shown)))
    line = said(Interrupted("at run 1 of 2; run the cell again"))
    assert line == "Interrupted: at run 1 of 2; run the cell again"


def test_who_catches_them_finds_what_they_were():
    assert issubclass(ConfigError, ValueError)
    assert issubclass(UnknownError, KeyError)
    assert issubclass(Interrupted, KeyboardInterrupt)
    assert not issubclass(Interrupted, Exception)
    assert str(UnknownError("a 'b'")) == "a 'b'"
    assert os.environ.get(progress.RELAY_VARIABLE) is None
