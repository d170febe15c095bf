"""PROTOCOL 10: whether a committed attempt survives what may happen to this server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.database.statements import statement

if TYPE_CHECKING:
    from shared.database.connect import Connection


@dataclass(frozen=True, slots=True)
class Durability:
    """What the server says about itself.

    Attributes:
        fsync: whether a commit reaches the disk.
        synchronous_commit: of our own connections.
        lagging_standbys: names of standbys that are not synchronous: promoted, they may lack commits.

    """

    fsync: bool
    synchronous_commit: str
    lagging_standbys: tuple[str, ...]

    def complaints(self, *, standbys_fenced: bool) -> list[str]:
        """Say what forbids live trading, each with what to do.

        Args:
            standbys_fenced: the operator declared that an old primary is always fenced before a promotion.

        """
        found = []
        if not self.fsync:
            found.append("fsync is off: a power cut loses committed attempts. Set fsync = on.")
        if self.synchronous_commit == "off":
            found.append(
                "synchronous_commit is off for our role. Run: ALTER ROLE <role> SET synchronous_commit = on."
            )
        if self.lagging_standbys and not standbys_fenced:
            found.append(
                f"the standby {', '.join(self.lagging_standbys)} is neither synchronous nor declared fenced: "
                "after a failover orders could be sent twice. Make it synchronous, or, if your failover "
                "always fences the old primary first, say so with BRIDGE_STANDBYS_FENCED=declared."
            )
        return found


async def durability(connection: Connection) -> Durability:
    """Ask the server."""
    row = await connection.fetchrow(statement("durability"))
    assert row is not None
    return Durability(row["fsync"], row["synchronous_commit"], tuple(row["lagging_standbys"]))
