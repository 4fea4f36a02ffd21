"""What every output says of itself where its format has room: made by a machine, whose face it is, on what consent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gaussavatar.avatar.record import AvatarRecord


@dataclass(frozen=True)
class Mark:
    """Whose face a file shows and on what consent, as the avatar's record says."""

    subject: str
    consent: str

    @property
    def about(self) -> str:
        """Both in one line, without the signs that part a table's columns."""
        return " ".join(f"{self.subject} (consent: {self.consent})".split())

    def comment(self, what: str) -> str:
        """The whole mark in one line; ``what`` was made, such as "video"."""
        return f"AI-generated: synthetic {what} of a Gaussian avatar (gaussavatar): {self.about}"

    def facts(self) -> dict[str, str]:
        """Metadata of a video."""
        return {"comment": self.comment("video"), "title": f"{self.subject} (synthetic)"}

    def plain(self) -> dict[str, Any]:
        """The mark for a header of JSON."""
        return {"synthetic": True, "subject": self.subject, "consent": self.consent}


def mark_of(record: AvatarRecord) -> Mark:
    """The mark of what an avatar makes."""
    return Mark(record.subject, record.consent)
