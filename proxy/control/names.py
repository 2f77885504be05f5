"""The names behind the indices of events, read from the generations as they are met."""

from __future__ import annotations

import msgspec

from engine.policy import PolicyImage
from proxy.event_lines import EventNames
from proxy.events import EventBatch
from proxy.logs import Log
from proxy.state_directory import StateDirectory


class GenerationNames:
    """Fills an EventNames from the state directory."""

    def __init__(self, names: EventNames, state: StateDirectory, log: Log) -> None:
        self.names = names
        self._state = state
        self._log = log
        self._missing: set[int] = set()

    def learn(self, batch: EventBatch) -> None:
        """Makes the generations of a batch known, those that still stand in the state directory."""
        for generation in batch.generations() - self._missing:
            if not self.names.knows(generation):
                self._read(generation)

    def _read(self, generation: int) -> None:
        try:
            configuration = self._state.configuration(generation)
            image = PolicyImage.open(self._state.policy_image(generation))
        except (OSError, ValueError, msgspec.DecodeError) as why:
            self._missing.add(generation)
            self._log.warning("names of a generation are not known", generation=generation, why=str(why))
            return
        self.names.add(
            generation,
            trunks=[trunk.name for trunk in configuration.trunks],
            gateways=[gateway.name for gateway in configuration.gateways],
            rules=image.rules,
            reasons=image.reasons,
            labels=image.labels,
        )
