"""The data and weights that notebooks need, fetched before they run.

Here, and not in the kernel: a download has a bar, can be interrupted, and its failure is a
sentence.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from labkit.errors import LabkitError


class Supply:
    """What one report needs: each set and each network's weights are asked for once."""

    def __init__(self):
        self._sets: dict[str, Any] = {}  # name → its status
        self._weights: dict[str, bool] = {}  # name → whether they can be had

    def fetch(
        self, data_sets: Sequence[str], weights: Sequence[str]
    ) -> tuple[dict[str, str], list[str]]:
        """Fetch what a notebook will open.

        Returns where each set came from, for the title page, and the names of what could not be
        had: of sets that others stand in for, and of weights, without which the notebook says what
        it does. Raises LabkitError for a set that can be had by no means.
        """
        for name in data_sets:
            if name not in self._sets:
                of = _room(name)
                of.fetch(name)
                self._sets[name] = of.status(name)
        for name in weights:
            if name not in self._weights:
                self._weights[name] = _can_be_had(name)
        missing = [name for name in data_sets if self._sets[name].stand_in]
        missing += [name for name in weights if not self._weights[name]]
        return {name: _told(self._sets[name]) for name in data_sets}, missing

    def changed(self, about: Mapping[str, Any]) -> list[str]:
        """Why data and weights ask for a new run, by what an executed notebook tells `about`
        itself; nothing: they do not.
        """
        told = []
        for name, before in about["data"].items():
            if name not in about["missing"]:
                now = _room(name).status(name)
                if now.prepared and _told(now) != before:
                    told.append(f"data {name}: {before} → {_told(now)}")
        data_sets = [name for name in about["missing"] if name in about["data"]]
        weights = [name for name in about["missing"] if name not in about["data"]]
        if not told and (data_sets or weights):  # it may be there by now
            try:
                _, still = self.fetch(data_sets, weights)
            except LabkitError as error:  # there by now, and damaged: the notebook says so
                return [str(error)]
            told += [f"{name} can be had now" for name in about["missing"] if name not in still]
        return told


def _room(name: str):
    """Which of labkit's modules knows the set: that of images or that of words."""
    from labkit.data import sources, words  # half a second, which a report without data can spare

    return words if name in words.WORD_SETS else sources


def _told(status) -> str:
    return f"{status.source}, sha256 {status.fingerprint}"


def _can_be_had(weights: str) -> bool:
    from labkit.data.weights import WeightsError, fetch_weights

    try:
        fetch_weights(weights)
    except WeightsError as error:
        print(f"labkit: going on without {weights}: {error}", file=sys.stderr)
        return False
    return True
