"""Statements live in named .sql files beside the module that runs them; this reads one."""

from functools import cache
from importlib.resources import files


@cache
def statement(name: str) -> str:
    """Return the text of `shared/database/<name>.sql`."""
    return files("shared.database").joinpath(f"{name}.sql").read_text(encoding="utf-8")
