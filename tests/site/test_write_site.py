"""The page's folder: what it holds, where pyodide comes from, and what is never overwritten."""

import base64
import hashlib
import io
import os
import re
import stat
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from labkit.errors import LabkitError, UsageError
from labkit.handcalc.questions import QUESTIONS
from labkit.site import pyodide
from labkit.site.build import CONTENTS, write_site

NPM = """#!{python}
import shutil, sys
open({asked!r}, "a").write(sys.argv[1] + " " + sys.argv[2] + "\\n")
if sys.argv[1] == "pack":
    folder = sys.argv[sys.argv.index("--pack-destination") + 1]
    shutil.copy({archive!r}, folder + "/" + {name!r})
"""


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """An empty cache, no data folder and no npm."""
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LABKIT_DATA", raising=False)
    monkeypatch.setenv("PATH", "")


@pytest.fixture
def archive(tmp_path, monkeypatch) -> Path:
    """A small archive in the form of pyodide's, which is taken for the real one."""
    path = tmp_path / "packed.tgz"
    with tarfile.open(path, "w:gz") as tar:
        for name in (*pyodide.FILES, "console.html"):
            content = f"this is {name}".encode()
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    digest = hashlib.sha512(path.read_bytes()).digest()
    monkeypatch.setattr(pyodide, "INTEGRITY", f"sha512-{base64.b64encode(digest).decode()}")
    return path


@pytest.fixture
def npm(tmp_path, monkeypatch, archive) -> Path:
    """An npm that hands out that archive; the file says what it was asked for."""
    asked, folder = tmp_path / "asked", tmp_path / "bin"
    folder.mkdir()
    program = folder / "npm"
    names = {"asked": str(asked), "archive": str(archive), "name": pyodide.ARCHIVE}
    program.write_text(NPM.format(python=sys.executable, **names))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder))
    return asked


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_it_holds_all_that_the_page_names_and_nothing_else(npm, tmp_path):
    index = write_site(tmp_path / "out" / "site")
    site = contents(index.parent)
    assert index == tmp_path / "out" / "site" / "index.html"
    assert {name for name in site if name.startswith("pyodide/")} == {
        f"pyodide/{name}" for name in pyodide.FILES
    }
    named = set(re.findall(r'(?:src|href)="([^"#:]+)"', index.read_text()))
    assert named == {"report.css", "report.js", "site.css", "site.js"}
    assert set(site) == {
        *named,
        *("index.html", "labkit.zip", CONTENTS),
        *(f"pyodide/{name}" for name in pyodide.FILES),
    }
    assert os.listdir(tmp_path / "out") == ["site"]


def test_every_question_stands_in_the_page_before_a_script_runs(npm, tmp_path):
    text = write_site(tmp_path / "site").read_text()
    for name in QUESTIONS:
        assert f'<article class="question" id="{name}"><h3>{name}</h3><p>' in text
    assert "<mtable>" in text
    assert "$$" not in text
    assert re.findall(r"\son\w+=|style=", text) == []


def test_the_policy_allows_scripts_of_the_folder_alone(npm, tmp_path):
    text = write_site(tmp_path / "site").read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1]
    rules = dict(rule.split(maxsplit=1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == "'self' 'wasm-unsafe-eval'"
    assert rules["connect-src"] == "'self'"


def test_the_modules_are_labkit_s_own_and_need_nothing_else(npm, tmp_path):
    site = write_site(tmp_path / "site").parent
    with zipfile.ZipFile(site / "labkit.zip") as modules:
        modules.extractall(tmp_path / "modules")
    root = Path(__file__).parents[2]
    for name, content in contents(tmp_path / "modules").items():
        assert content == (root / name).read_bytes()
    program = "from labkit.site import desk; print(desk.judged('tdt4265/1c', ['3'])['right'])"
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, '.'); {program}"],
        cwd=tmp_path / "modules",
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "True"


def test_the_same_bytes_every_time(npm, tmp_path):
    first, second = (write_site(tmp_path / name).parent for name in ("one", "two"))
    assert contents(first) == contents(second)


def test_the_command_writes_it_to_reports_build(npm, mini, labkit):
    index = mini / "reports" / "build" / "site" / "index.html"
    status, out, _ = labkit("site")
    assert (status, out) == (0, f"{index}\n")
    assert index.exists()


def test_without_npm_the_command_says_one_line(labkit, tmp_path):
    status, out, err = labkit("site", "--output", tmp_path / "site")
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "npm is not installed" in err


# ---- pyodide


def test_a_second_build_asks_npm_for_nothing(npm, tmp_path, monkeypatch):
    write_site(tmp_path / "one")
    assert npm.read_text().split() == [
        *("view", f"pyodide@{pyodide.VERSION}", "pack", f"pyodide@{pyodide.VERSION}")
    ]
    monkeypatch.setenv("PATH", "")
    write_site(tmp_path / "two")


def test_an_archive_in_labkit_data_will_do(archive, tmp_path, monkeypatch):
    archive.rename(tmp_path / pyodide.ARCHIVE)
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    assert (write_site(tmp_path / "site").parent / "pyodide" / "pyodide.mjs").exists()


def test_without_npm_it_says_what_to_do_and_writes_nothing(tmp_path):
    with pytest.raises(LabkitError, match=r"npm is not installed.*folder of LABKIT_DATA") as error:
        write_site(tmp_path / "site")
    assert error.value.exit_status == 1
    assert "\n" not in str(error.value)
    assert not (tmp_path / "site").exists()


def test_another_archive_than_the_known_one_is_refused(npm, tmp_path, monkeypatch):
    monkeypatch.setattr(pyodide, "INTEGRITY", "sha512-AAAA")
    with pytest.raises(LabkitError, match="is not the file it should be"):
        write_site(tmp_path / "site")
    assert not list((tmp_path / "cache").rglob("*.tgz"))


def test_a_damaged_archive_is_named(tmp_path, monkeypatch):
    (tmp_path / pyodide.ARCHIVE).write_bytes(b"no archive")
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    message = rf"not the file it should be.*remove .*{pyodide.ARCHIVE}, and it is fetched anew"
    with pytest.raises(LabkitError, match=message):
        write_site(tmp_path / "site")


def test_a_cache_that_cannot_be_written_is_named(npm, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "file"))
    with pytest.raises(LabkitError, match="set LABKIT_CACHE to another folder"):
        write_site(tmp_path / "site")


# ---- what was there before


def test_an_earlier_site_is_replaced_whole(npm, tmp_path, monkeypatch):
    site = write_site(tmp_path / "site").parent
    *kept, left_out = pyodide.FILES
    monkeypatch.setattr(pyodide, "FILES", kept)
    write_site(site)
    assert sorted(os.listdir(site / "pyodide")) == sorted(kept)
    assert left_out not in (site / CONTENTS).read_text()


def test_an_empty_folder_will_do(npm, tmp_path):
    (tmp_path / "site").mkdir()
    assert write_site(tmp_path / "site").exists()


@pytest.mark.parametrize("name", ["thesis.tex", "index.html", "pyodide/mine.js"])
def test_a_folder_with_anything_else_stays_as_it_is(npm, tmp_path, name):
    site = write_site(tmp_path / "site").parent
    (site / name).write_text("mine")
    before = contents(site)
    with pytest.raises(UsageError, match=f"holds {name}, which is no file of a site"):
        write_site(site)
    assert contents(site) == before


def test_a_file_is_no_folder(npm, tmp_path):
    (tmp_path / "site").write_text("mine")
    with pytest.raises(UsageError, match="is a file; give a folder for the site"):
        write_site(tmp_path / "site")


def test_a_build_that_fails_leaves_the_earlier_site(npm, tmp_path, monkeypatch):
    site = write_site(tmp_path / "site").parent
    before = contents(site)
    rename = Path.rename

    def failing(self, target):
        if Path(target) == site and self.name == "new":
            raise OSError("the disk is full")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="disk is full"):
        write_site(site)
    assert contents(site) == before
    assert os.listdir(tmp_path).count("site") == 1
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".site-")]
