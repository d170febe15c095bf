"""PROTOCOL 10 on real servers: promoted standbys, a restored backup, files put back. Always one order."""

from __future__ import annotations

import signal
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from shared.database.embedded import Stop
from tests.command_line import Terminal
from tests.crash.cells import Mode
from tests.crash.cluster import Cluster
from tests.crash.destination import Destination
from tests.crash.judge import Verdict, judge
from tests.crash.processes import until
from tests.crash.run_cell import amount, await_failure
from tests.crash.scale import FAILOVER
from tests.crash.world import Account, World, pause

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID

    from shared.database.embedded import EmbeddedServer
    from tests.crash.processes import Forked

pytestmark = pytest.mark.whole

PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """An exchange and a warm parent; every test brings its own servers."""
    with World(FAILOVER) as world:
        yield world


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """One history, on one server to begin with."""
    with Cluster() as cluster:
        yield cluster


@contextmanager
def trading(world: World, dsn: str) -> Iterator[Account]:
    """An account in a database whose epoch is recorded."""
    account = Account(world, dsn)
    try:
        account.know_the_epoch()
        yield account
    finally:
        account.close()


def order(account: Account) -> UUID:
    """Let the bot insert a market order."""
    return account.bot.order(
        account.user, account.id, amount=amount(), **Destination.SPOT.columns(rests=False)
    )


def move(account: Account, dsn: str) -> None:
    """Go on with another database."""
    account.dsn = dsn
    account.reconnect()


def finish(account: Account, order_id: UUID, executor: Forked) -> None:
    """Wait until the row is over, as far as this database knows."""
    over = until(lambda: account.entry(order_id)["state"] == "done", PATIENCE_S)
    assert over, f"{account.entry(order_id)}\n{executor.tail()}"
    executor.stop()


def assert_one_order(account: Account, order_id: UUID) -> None:
    """Exactly one order at the exchange, and the database knows it."""
    facts = account.facts(order_id, None)
    judged = judge(facts, may_reject=False, may_stay_unknown=False)
    assert judged.verdict is Verdict.CLEAN, judged.why
    assert len(facts.at_exchange) == 1


def test_a_synchronous_standby_has_the_claim(world: World, cluster: Cluster) -> None:
    """Killed after the answer, with its primary: the standby knows the attempt and finds its order."""
    dsn = cluster.follow()
    cluster.make_synchronous()
    with trading(world, dsn) as account:
        placed = order(account)
        await_failure(account.executor("send.answered=kill@1"), Mode.KILL, "send.answered", PATIENCE_S)
        cluster.fail_over()
        account.reconnect()
        (attempt,) = account.facts(placed, None).attempts
        assert attempt["parameters"]
        finish(account, placed, account.executor())
        assert_one_order(account, placed)


@pytest.mark.parametrize(("point", "posts"), [("prepare.sized", 1), ("send.before", 2)])
def test_the_old_primary_lives_on_beside_the_promoted_one(
    world: World, cluster: Cluster, point: str, posts: int
) -> None:
    """A worker left behind at the old primary gets no claim confirmed, and its stale request is refused."""
    cluster.follow()
    cluster.make_synchronous()
    assert cluster.standby is not None
    with trading(world, cluster.primary.dsn()) as account:
        placed = order(account)
        left_behind = account.executor(f"{point}=freeze@1")
        await_failure(left_behind, Mode.FREEZE, point, PATIENCE_S)
        cluster.standby.promote()
        move(account, cluster.standby.dsn())
        finish(account, placed, account.executor())
        left_behind.send(signal.SIGCONT)
        if posts == 1:
            tried = until(lambda: "claim.database_away" in left_behind.tail(100_000), PATIENCE_S)
            assert tried, left_behind.tail()
        assert until(lambda: account.posts() == posts, PATIENCE_S), left_behind.tail()
        left_behind.kill()
        assert_one_order(account, placed)


def test_a_restored_base_backup_adopts_what_was_sent_since(world: World, cluster: Cluster) -> None:
    """The backup has the row as pending; its order is found by its id, and nothing is sent again."""
    with trading(world, cluster.primary.dsn()) as account:
        placed = order(account)
        backup = cluster.primary.standby("backup")
        try:
            backup.stop()
            finish(account, placed, account.executor())
            account.close()
            cluster.primary.remove()
            restore(backup)
            move(account, backup.dsn())
            assert account.entry(placed)["state"] == "new"
            finish(account, placed, account.executor())
            assert_one_order(account, placed)
        finally:
            backup.remove()


def restore(backup: EmbeddedServer) -> None:
    """Recover a base backup as far as its own log goes, on a timeline of its own."""
    (backup.data / "standby.signal").rename(backup.data / "recovery.signal")
    backup.configure({"primary_conninfo": "", "restore_command": "/bin/false"})
    backup.start()
    cut_off = "the backup never became a primary"
    assert until(lambda: not (backup.data / "recovery.signal").exists(), PATIENCE_S), cut_off


@pytest.mark.parametrize("live", [False, True], ids=["by the runbook", "under a running executor"])
def test_files_put_back_are_another_history(
    world: World, cluster: Cluster, tmp_path: Path, live: bool
) -> None:
    """Same identifier, same timeline: told by `bridge epoch bump`, or by a log shorter than before."""
    server = cluster.primary
    with trading(world, server.dsn()) as account:
        placed = order(account)
        copy = copied(server, tmp_path)
        account.reconnect()
        executor = account.executor()
        assert until(lambda: account.entry(placed)["state"] == "done", PATIENCE_S), executor.tail()
        if not live:
            executor.stop()
        put_back(server, copy)
        account.reconnect()
        if not live:
            assert account.entry(placed)["state"] == "new"
            pause(FAILOVER.recv_window_ms / 1000 + FAILOVER.engine_delay_s + FAILOVER.query_lag_s)
            Terminal(world.environment(account.dsn)).run("epoch", "bump", "--reason", "a drill")
            executor = account.executor()
        finish(account, placed, executor)
        assert_one_order(account, placed)


def copied(server: EmbeddedServer, folder: Path) -> Path:
    """Copy the files of a stopped server, and start it again."""
    server.stop(Stop.FAST)
    copy = folder / "copy"
    subprocess.run(["cp", "-a", server.data, copy], check=True)
    server.start()
    return copy


def put_back(server: EmbeddedServer, copy: Path) -> None:
    """Replace the files of a server by the copy."""
    server.stop(Stop.FAST)
    subprocess.run(["rm", "-r", server.data], check=True)
    subprocess.run(["cp", "-a", copy, server.data], check=True)
    server.start()
