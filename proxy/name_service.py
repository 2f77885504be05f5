"""Names for a worker, in the background: the core's questions answered, the names of gateways kept current.

The call path asks and goes on; nothing here delays a call. While nobody answers, names lead where they led last.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from proxy.gateways import GatewayRoute, NamedTarget, TargetRoute
from proxy.logs import Log
from proxy.resolver import Resolver

_LEAST_S = 5.0  # between two look-ups of a gateway's names, however short their TTL
_RETRY_S = 5.0
_MOST_S = 600.0

Question = tuple[int, str, int | None, str | None, bool]  # as ProxyCore.take_questions
Resolved = Callable[[int, Sequence[tuple[str, str, int]], float], None]  # UdpEdge.resolved
SetTargets = Callable[[int, Sequence[TargetRoute]], None]  # ProxyCore.set_targets


class NameService:
    """resolved: takes the answer to a question. set_targets: takes a gateway's targets when its names have moved."""

    def __init__(self, resolver: Resolver, resolved: Resolved, set_targets: SetTargets, log: Log) -> None:
        self._resolver = resolver
        self._resolved = resolved
        self._set_targets = set_targets
        self._log = log
        self._answering: set[asyncio.Task[None]] = set()
        self._watching: list[asyncio.Task[None]] = []

    def ask(self, questions: Iterable[Question]) -> None:
        for question in questions:
            task = asyncio.create_task(self._answer(question))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    def watch(self, gateways: Sequence[GatewayRoute]) -> None:
        """From now on the names of these gateways are kept up to date, and no others."""
        for task in self._watching:
            task.cancel()
        self._watching = [
            asyncio.create_task(self._keep_current(index, gateway))
            for index, gateway in enumerate(gateways)
            if gateway.names
        ]

    def close(self) -> None:
        for task in [*self._watching, *self._answering]:
            task.cancel()
        self._resolver.close()

    async def _answer(self, question: Question) -> None:
        number, host, port, transport, secure = question
        located = await self._resolver.locate(host, port, transport, secure=secure)
        self._resolved(number, [(d.transport, d.ip, d.port) for d in located.destinations], located.ttl_s)

    async def _keep_current(self, index: int, gateway: GatewayRoute) -> None:
        names = gateway.names
        targets = gateway.targets
        while True:
            looked_up = await asyncio.gather(*(self._look_up(gateway, name) for name in names))
            names = tuple(name for name, _ in looked_up)
            following = gateway.with_names(names)
            if set(following) != set(targets):
                self._set_targets(index, following)
                targets = following
                self._log.info("gateway moved", gateway=gateway.name, targets=[f"{t.ip}:{t.port}" for t in targets])
            await asyncio.sleep(min(max(min(ttl_s for _, ttl_s in looked_up), _LEAST_S), _MOST_S))

    async def _look_up(self, gateway: GatewayRoute, name: NamedTarget) -> tuple[NamedTarget, float]:
        located = await self._resolver.locate(name.host, name.port, name.transport)
        if located.destinations:
            return replace(name, known=located.destinations), located.ttl_s
        self._log.warning("name does not resolve", gateway=gateway.name, name=name.text, kept=len(name.known))
        return name, _RETRY_S
