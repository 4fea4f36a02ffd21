"""Signed content credentials, as options of a verb."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gaussavatar.cli.common import require_files
from gaussavatar.errors import UserError

if TYPE_CHECKING:
    from gaussavatar.media.signing import Credentials


@dataclass(frozen=True)
class SigningOptions:
    """With whose certificate what is written is signed (C2PA); the extra provenance."""

    sign_cert: Path | None = None
    """Your certificate (PEM, followed by those that it rests on): videos get signed content credentials."""

    sign_key: Path | None = None
    """Its private key (PEM, without a password)."""

    def credentials(self) -> Credentials | None:
        """Both files, or None where neither was given.

        Raises:
            UserError: one of them alone was given, or one is no file.
        """
        if self.sign_cert is None and self.sign_key is None:
            return None
        if self.sign_cert is None or self.sign_key is None:
            came = "--sign-key alone" if self.sign_cert is None else "--sign-cert alone"
            raise UserError("--sign-cert and --sign-key", came, "give both, or neither")
        require_files("--sign-cert", (self.sign_cert,))
        require_files("--sign-key", (self.sign_key,))
        from gaussavatar.media.signing import Credentials

        return Credentials(self.sign_cert, self.sign_key)
