"""Every verb of `bridge`, walked from the parser: a new one cannot be without --json and examples."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.testing import CliRunner

from services.command_line.__main__ import app
from services.command_line.examples import EXAMPLES
from services.command_line.terminal import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator

BRIDGE = Path(sys.executable).with_name("bridge")
PASSED_ON = "exchange"  # becomes another program, with all its arguments


def walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command that does something, by the words that name it."""
    if hasattr(command, "commands"):
        for name, under in command.commands.items():
            yield from walk(under, (*path, name))
    else:
        yield " ".join(path), command


VERBS = dict(walk(typer.main.get_command(app)))


@cache
def helped(*words: str) -> str:
    result = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 0
    return result.output


@pytest.mark.parametrize("verb", sorted(set(VERBS) - {PASSED_ON}))
def test_every_verb_prints_json_and_explains_itself(verb: str) -> None:
    """--json, a sentence on the verb, a help on each of its options."""
    command = VERBS[verb]
    assert any("--json" in parameter.opts for parameter in command.params)
    assert command.help
    silent = [one.name for one in command.params if not getattr(one, "help", "") and one.name != "help"]
    assert not silent, f"no help on {silent}"


def test_the_program_a_verb_becomes_prints_json() -> None:
    """`bridge exchange --json` is one line with where to point a client; SIGTERM ends it with 0."""
    with subprocess.Popen([BRIDGE, PASSED_ON, "--json"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        process.terminate()
        assert process.wait(30) == 0
    assert json.loads(said)["rest_url"].startswith("http://127.0.0.1:")


def test_every_verb_has_examples_and_none_is_about_a_verb_that_is_gone() -> None:
    """The help teaches by commands that can be typed."""
    assert set(EXAMPLES) == set(VERBS)


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_examples_are_shown_and_can_be_typed(verb: str) -> None:
    """Each stands in the help, and the verb's own parser takes it: its options exist, its arguments fit."""
    for example in EXAMPLES[verb]:
        program, *words = shlex.split(example, comments=True)
        words = words[: words.index(">")] if ">" in words else words
        assert (program, words[: len(verb.split())]) == ("bridge", verb.split())
        if verb == PASSED_ON:
            continue
        assert example.split("   #")[0] in helped(*verb.split())
        VERBS[verb].make_context("bridge", words[len(verb.split()) :])


def test_the_programs_help_tells_the_exit_codes() -> None:
    """A script can rely on them."""
    for code in ExitCode:
        assert f"{code.value} {code.name.lower().replace('_', ' ')}" in helped()


# What is printed without asking a database; what asks for a key first; what looks at everything by itself.
ASK_NO_DATABASE = {"demo", "doctor", "exchange", "grants", "accounts add", "keys rotate"}


@pytest.mark.parametrize("verb", sorted(set(VERBS) - ASK_NO_DATABASE))
def test_a_database_that_is_away_is_told_the_same_by_every_verb(verb: str) -> None:
    """Exit code 5 and a sentence with what to do, never a traceback."""
    words = shlex.split(EXAMPLES[verb][0], comments=True)[1:]
    environment = {
        "BRIDGE_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "ENCRYPTION_KEY": "A" * 43 + "=",
    }
    result = CliRunner().invoke(app, words, env=environment)
    assert result.exit_code == ExitCode.UNREACHABLE, result.output
    assert "cannot be reached" in result.output
    assert "BRIDGE_DATABASE_URL" in result.output


def completed(shell: str, typed: str, **variables: str) -> str:
    """What `bridge` answers when a shell asks how `typed` goes on."""
    environment = {
        "_BRIDGE_COMPLETE": f"complete_{shell}",
        "_TYPER_COMPLETE_ARGS": typed,
        "COMP_WORDS": typed,
        "COMP_CWORD": str(typed.count(" ")),
        **variables,
    }
    return CliRunner().invoke(app, [], env=environment, prog_name="bridge").output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_is_told_verbs_options_and_values(shell: str) -> None:
    """Verbs, verbs of a group, options and the values of an option come to what was typed so far."""
    arguments = {"_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    assert "reconcile" in completed(shell, "bridge re", **arguments)
    assert "prefer" in completed(shell, "bridge accounts ", **arguments)
    assert "--cancel-open" in completed(shell, "bridge halt --ca", **arguments)
    assert "held" in completed(shell, "bridge orders --state h", **arguments)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_each_shell_asks_the_program(shell: str) -> None:
    """What `bridge --install-completion` puts into the shell's start-up files."""
    script = completed(shell, "", _BRIDGE_COMPLETE=f"source_{shell}")
    assert "bridge" in script
    assert f"_BRIDGE_COMPLETE=complete_{shell}" in script


def test_bash_itself_completes() -> None:
    """The script is read by a real bash, which then completes a verb by it."""
    script = completed("bash", "", _BRIDGE_COMPLETE="source_bash")
    words = f"""{script}
COMP_WORDS=(bridge swi) COMP_CWORD=1
_bridge_completion {shlex.quote(str(BRIDGE))}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    said = subprocess.run(["bash", "-c", words], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["switches"]
