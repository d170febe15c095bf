"""`make redaction`: real processes use secrets of every kind; all they emit is searched for each (DESIGN 9).

Writes build/proof/redaction.json; exit code 1 when anything of a secret was seen anywhere.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.command_line.demo import EXECUTOR, LISTENER
from shared.telemetry.redaction import REDACTED
from tests.redaction.search import Search
from tests.redaction.story import telling

if TYPE_CHECKING:
    from tests.redaction.story import Story

PROOF = Path("build/proof/redaction.json")
EXPECTED = ("traces", "log of order_executor", "log of fill_listener", "log of careless", "bridge doctor")
"""Places that must have said something, or nothing was proven there."""


def tell_whole(story: Story) -> str:
    """Let everything happen; returns the log of the process in which nothing was redacted."""
    for kind in ("hmac", "ed25519", "rsa"):
        story.add_account(kind, kind)
    story.add_account("stranger", at_exchange=False)
    executor = story.start(EXECUTOR)
    story.start(LISTENER)
    for chapter in (
        *(story.trade, story.be_refused, story.be_echoed, story.be_cut_off, story.be_blocked, story.look),
    ):
        print(f"  {chapter.__name__.replace('_', ' ')}", flush=True)
        chapter()
    executor.stop()
    print("  crash", flush=True)
    story.crash()
    bare = story.crash(redacted=False)
    print("  operate", flush=True)
    story.operate()
    story.end()
    return bare


def tell_short(story: Story) -> str:
    """Let one order be filled, one key be refused and one process crash."""
    story.add_account("hmac")
    story.add_account("stranger", at_exchange=False)
    executor = story.start(EXECUTOR)
    story.start(LISTENER)
    story.trade()
    story.be_refused()
    story.be_echoed()
    story.look()
    executor.stop()
    story.crash()
    bare = story.crash(redacted=False)
    story.operate(whole=False)
    story.end()
    return bare


def judge(story: Story, bare: str) -> dict[str, Any]:
    """Search everything.

    Args:
        story: that has ended.
        bare: what a process said that redacted nothing; the search must find secrets there.

    """
    search = Search()
    for name, secret in story.secrets.items():
        search.add(name, secret)
    leaks = search.all_leaks(story.emitted)
    searched = search.bytes_searched
    seen_without = search.leaks("without redaction", bare)
    silent = [place for place in EXPECTED if not story.emitted_by(place)]
    redacted = {
        place: story.emitted_by(place).count(REDACTED.encode()) for place in ("log of careless", "log of")
    }
    return {
        "secrets": len(search.secrets),
        "forms": search.form_count,
        "bytes_searched": searched,
        "leaks": len(leaks),
        "found": [asdict(leak) for leak in leaks],
        "silent": silent,
        "redacted": redacted,
        "seen_without_redaction": sum(leak.times for leak in seen_without),
        "places": {where: len(text) for where, text in story.emitted},
        "ok": not leaks and not silent and all(redacted.values()) and bool(seen_without),
    }


def main() -> int:
    """Run the whole story and print what was searched."""
    print("a run with", flush=True)
    with telling() as story:
        report = judge(story, tell_whole(story))
    for where, size in sorted(report["places"].items()):
        print(f"{size:>12,}  {where}")
    for leak in report["found"]:
        print(f"LEAK: {leak['secret']} as {leak['form']} in {leak['where']}, {leak['times']} parts")
    for place in report["silent"]:
        print(f"SILENT: nothing came from {place}")
    print(
        f"{report['secrets']} secrets in {report['forms']} forms, {report['bytes_searched']:,} bytes, "
        f"{report['leaks']} leaks; {report['redacted']['log of']} redactions; "
        f"{report['seen_without_redaction']} parts seen where redaction is switched off"
    )
    PROOF.parent.mkdir(parents=True, exist_ok=True)
    PROOF.write_text(json.dumps(report, indent=1) + "\n")
    return 0 if report["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
