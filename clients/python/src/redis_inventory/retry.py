"""How often a command is sent."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Retry:
    """Sends a command again if there was no answer, or an answer that says *not now*.

    Between two tries is a random time, at first up to ``first`` seconds, then twice as much each
    time, up to ``cap``. After ``deadline`` seconds the last error is raised. ``Retry(deadline=0)``
    sends everything once.
    """

    deadline: float = 10.0
    first: float = 0.02
    cap: float = 0.5

    def begin(self) -> Tries:
        """The tries of one command."""
        return Tries(self)


class Tries:
    """The tries of one command."""

    def __init__(self, retry: Retry) -> None:
        self._retry = retry
        self._end = time.monotonic() + retry.deadline
        self._most = retry.first
        self.lost_answer = False
        """Whether an earlier try had no answer, so that it may have been carried out."""

    def pause(self) -> float | None:
        """How many seconds to wait before the next try; None if there is none."""
        pause = random.uniform(self._most / 2, self._most)
        self._most = min(2 * self._most, self._retry.cap)
        return None if time.monotonic() + pause > self._end else pause
