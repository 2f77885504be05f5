"""An avalanche of registrations, as after a power cut: everybody at once, and again until there is an answer."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator
from functools import partial

from tests.proxy.messages import request
from tests.proxy.playbook import SOFTSWITCH, Play, response

RELAYED, REFUSED = 0.4, 0.17  # of a call's cost: four messages; two of the three that refusing a call takes
REPEATS_S = (0.5, 1.0, 2.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0)  # RFC 3261 section 17.1.2.2, timer E
AGAIN_S = 5.0  # after a refusal that names no time


class Avalanche:
    """So many users behind `sources` addresses of 10.0.0.0/8; each registers once, at some moment of `spread_s`."""

    def __init__(self, play: Play, users: int, *, sources: int, spread_s: float) -> None:
        self._play = play
        self._sources = sources
        self._spread_us = round(spread_s * 1e6)
        self._draws = random.Random(6)
        self._due: list[tuple[int, int, int, int]] = []  # (when, user, which attempt, which repeat)
        self._attempts = dict.fromkeys(range(users), 0)
        self.waiting: set[int] = set()
        self.refusals = 0

    def begin(self) -> None:
        for user in self._attempts:
            self.waiting.add(user)
            heapq.heappush(self._due, (self._play.now_us + self._draws.randrange(self._spread_us), user, 0, 0))

    def arriving(self, now_us: int) -> Iterator[Callable[[], float]]:
        while self._due and self._due[0][0] <= now_us:
            due_us, user, attempt, repeat = heapq.heappop(self._due)
            if user not in self.waiting or attempt != self._attempts[user]:
                continue
            if repeat < len(REPEATS_S):
                heapq.heappush(self._due, (due_us + round(REPEATS_S[repeat] * 1e6), user, attempt, repeat + 1))
            else:
                self._ask_again(user, AGAIN_S)
            yield partial(self._register, user, attempt)

    def _register(self, user: int, attempt: int) -> float:
        source = (f"10.0.{user % self._sources // 250}.{user % self._sources % 250 + 1}", 5060)
        sent = self._play.receive(
            request(
                "REGISTER",
                caller=f"+8620{user:08}",
                callee=f"+8620{user:08}",
                uri="sip:registrar.example.net",
                branch=f"z9hG4bK-o6-{user}-{attempt}",
                call_id=f"o6-{user}",
                cseq=attempt + 1,
                sent_by=f"{source[0]}:5060",
                headers=[f"Contact: <sip:{user}@{source[0]}>;expires=3600"],
            ),
            source,
        )
        for each in sent:
            if each.method == "REGISTER":
                answers = self._play.receive(response(each, 200), SOFTSWITCH)
                if any(answer.status == 200 for answer in answers):
                    self.waiting.discard(user)
                return RELAYED
            if each.status == 503 and user in self.waiting:
                self.refusals += 1
                self._ask_again(user, float((each.all("Retry-After") or [AGAIN_S])[0]))
        return REFUSED

    def _ask_again(self, user: int, after_s: float) -> None:
        """A new transaction, at some moment up to twice as late."""
        self._attempts[user] += 1
        due_us = self._play.now_us + round(after_s * 1e6 * (1 + self._draws.random()))
        heapq.heappush(self._due, (due_us, user, self._attempts[user], 0))
