"""What a check found: a line with its level, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from services.command_line.terminal import clean

if TYPE_CHECKING:
    from collections.abc import Iterable


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"  # works, but somebody should look
    FAILED = "failed"  # does not work


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a check.

    Args:
        check: what was looked at, in a word or two.
        level: how bad it is.
        says: what was found.
        advice: what to do; nothing where all is well.

    """

    check: str
    level: Level
    says: str
    advice: str = ""

    def line(self) -> str:
        """Write it on one line."""
        advice = f" -> {clean(self.advice)}" if self.advice else ""
        return f"{self.level:7}  {self.check:24}  {clean(self.says)}{advice}"


def ok(check: str, says: str) -> Finding:
    """Say that all is well."""
    return Finding(check, Level.OK, says)


def warning(check: str, says: str, advice: str) -> Finding:
    """Say that it works, but somebody should look."""
    return Finding(check, Level.WARNING, says, advice)


def failed(check: str, says: str, advice: str) -> Finding:
    """Say that it does not work."""
    return Finding(check, Level.FAILED, says, advice)


def worst(found: Iterable[Finding]) -> Level:
    """Return the worst level there is."""
    order = list(Level)
    return max((finding.level for finding in found), key=order.index, default=Level.OK)
