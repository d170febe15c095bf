"""Where the bot's database is, and how it is connected to."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from pydantic import SecretStr, model_validator

from shared.environment import Settings, variable


class DatabaseSettings(Settings):
    """Where the bot's database is: one URL, or the POSTGRES_* variables the bot itself reads."""

    url: SecretStr | None = variable(
        "BRIDGE_DATABASE_URL",
        "Work connections: `postgresql://user:password@host:port/name?sslmode=require`. May lead through "
        "PgBouncer in transaction mode. Not set: made of POSTGRES_*.",
        None,
    )
    listen_url: SecretStr | None = variable(
        "BRIDGE_LISTEN_URL",
        "The LISTEN connection, which must reach Postgres directly. Not set: as the work connections.",
        None,
    )
    host: str = variable("POSTGRES_HOST", "Host, or the folder of a Unix socket.", "")
    port: int = variable("POSTGRES_PORT", "Port.", 5432, ge=1, le=65535)
    user: str = variable("POSTGRES_USER", "Role.", "")
    password: SecretStr = variable("POSTGRES_PASSWORD", "Password of the role.", SecretStr(""))
    name: str = variable("POSTGRES_DB", "Database.", "")
    ssl_mode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = variable(
        "POSTGRES_SSL_MODE",
        "TLS to the database; `verify-full` over any network that is not yours.",
        "disable",
    )
    prepared_statements: bool = variable(
        "BRIDGE_PREPARED_STATEMENTS", "Switch `off` behind PgBouncer in transaction mode.", default=True
    )
    pool_size: int = variable(
        "BRIDGE_POOL_SIZE",
        "Most work connections of one process; the bot itself holds up to 25.",
        8,
        ge=3,
        le=100,
    )

    @property
    def work_dsn(self) -> str:
        """URL of the work connections, password included: for the driver, never for a log."""
        if self.url is not None:
            return self.url.get_secret_value()
        query: dict[str, str] = {"sslmode": self.ssl_mode}
        password = self.password.get_secret_value()
        login = quote(self.user, safe="") + (":" + quote(password, safe="") if password else "")
        if self.host.startswith("/"):
            query |= {"host": self.host, "port": str(self.port)}
            return f"postgresql://{login}@/{quote(self.name, safe='')}?{urlencode(query)}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"postgresql://{login}@{host}:{self.port}/{quote(self.name, safe='')}?{urlencode(query)}"

    @property
    def listen_dsn(self) -> str:
        """URL of the LISTEN connection, password included."""
        return self.work_dsn if self.listen_url is None else self.listen_url.get_secret_value()

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, url in (("BRIDGE_DATABASE_URL", self.url), ("BRIDGE_LISTEN_URL", self.listen_url)):
            if url is not None and urlsplit(url.get_secret_value()).scheme not in ("postgresql", "postgres"):
                raise ValueError(f"{name}: it must begin with postgresql://user:password@host:port/name")
            root = dict(parse_qsl(urlsplit(url.get_secret_value()).query)).get("sslrootcert") if url else None
            if root is not None and not Path(root).is_file():
                raise ValueError(
                    f"{name}: there is no file {root}, where sslrootcert looks for the authority"
                )
        if self.url is None and not (self.host and self.user and self.name):
            raise ValueError(
                "BRIDGE_DATABASE_URL: no database is named; set it, or POSTGRES_HOST, POSTGRES_USER and "
                "POSTGRES_DB to what the bot has"
            )
        return self
