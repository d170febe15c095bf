"""Statements live in named .sql files beside the module that runs them; this reads one."""

from functools import cache
from importlib.resources import files


@cache
def statement(name: str) -> str:
    """Return the text of `shared/database/<name>.sql`."""
    return files("shared.database").joinpath(f"{name}.sql").read_text(encoding="utf-8")


@cache
def without(name: str, part: str) -> str:
    """Return a statement without the part between the lines `-- <part>` and `-- <part> end`."""
    before, _, rest = statement(name).partition(f"-- {part}\n")
    return before + rest.partition(f"-- {part} end\n")[2]
