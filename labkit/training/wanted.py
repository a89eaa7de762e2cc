"""A run that somebody wants: found in the store, or else trained, once, whoever wants it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from labkit.data import Dataset, WordSet
from labkit.training import interrupt, store
from labkit.training.checkpoint import History
from labkit.training.config import RunConfig, resolve_device
from labkit.training.kinds import kind_of
from labkit.training.loop import fit
from labkit.training.store import Run


@dataclass(frozen=True)
class Wanted:
    """A run by its Config; `description` is its name in progress bars."""

    description: str
    config: RunConfig
    device: str = "auto"

    @cached_property
    def dataset(self) -> Dataset | WordSet:
        """What it is trained on."""
        return kind_of(self.config).load(self.config)

    @cached_property
    def key(self) -> str:
        """The name of its record."""
        return store.key(self.config, self.dataset.fingerprint, resolve_device(self.device))

    def with_config(self, config: RunConfig) -> "Wanted":
        """The run of another Config; what is trained on the same data does not load them again."""
        other = Wanted(self.description, config, self.device)
        if config.data == self.config.data:
            vars(other)["dataset"] = self.dataset
        return other

    def found(self) -> Run | None:
        """The finished run, made here or committed; None where there is neither."""
        return store.find(self.config, self.dataset, self.device)

    def trained(self, on_validation: Callable[[History], None] = lambda history: None) -> Run:
        """The run, trained from where it was left; by one process, if several want it."""
        with store.lock(self.config, self.dataset, self.device):
            # another process may have trained it while this one waited for the lock
            if run := self.found():
                return run
            store.set_aside_damaged(self.config, self.dataset, self.device)
            unfinished = store.unfinished(self.config, self.dataset, self.device)
            with interrupt.after_saving(unfinished):
                result = fit(
                    self.config,
                    self.dataset,
                    device=self.device,
                    description=self.description,
                    save_to=unfinished,
                    on_validation=on_validation,
                )
                run = store.save(self.config, self.dataset, result, self.device)
                unfinished.unlink(missing_ok=True)
                return run
