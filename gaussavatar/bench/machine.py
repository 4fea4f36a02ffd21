"""What of the machine goes beside a figure."""

from __future__ import annotations

import math
import os


def load_average() -> float:
    """Processes that ran or waited for a core in the last minute; not a number where the system does not tell."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else math.nan
