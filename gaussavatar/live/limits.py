"""What a client may do, and the account that is kept of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

LARGEST_MESSAGE = 2**20
"""Bytes of a message: ten seconds of sound at 48 kHz."""

LARGEST_TEXT = 2000
"""Characters that are said at once."""

LARGEST_OFFER = 2**16
"""Characters of a WebRTC session description."""

MESSAGES_PER_SECOND, MESSAGES_AT_ONCE = 300.0, 3000.0
"""Messages that a client may send: a minute of speech in pieces of 20 ms at once, and far more than speech later."""

FLOOR_KEPT = 2.0
"""Seconds that a source keeps its turn without a word or a flush, so that another one may speak."""

LINGER = 10.0
"""Seconds that a session waits for its page to come back."""

GREETING = 10.0
"""Seconds for a page from its offer to its connection."""

SESSION = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""Names of sessions."""


@dataclass
class Allowance:
    """So many things a second, and so many at once (a token bucket)."""

    per_second: float = MESSAGES_PER_SECOND
    at_once: float = MESSAGES_AT_ONCE
    _left: float = -1.0
    _at: float = 0.0

    def take(self, now: float) -> bool:
        """Account for one more.

        Args:
            now: seconds of a steady clock.

        Returns:
            Whether it was still allowed.
        """
        left = self.at_once if self._left < 0 else min(self.at_once, self._left + (now - self._at) * self.per_second)
        self._at = now
        self._left = max(left - 1.0, 0.0)
        return left >= 1.0
