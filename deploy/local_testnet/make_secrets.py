"""Make the local testnet's secrets, once: a random password or key per file, in the folder given.

Run by the service `secrets` of deploy/compose.yaml; the folder is a volume that only the testnet mounts.
"""

from __future__ import annotations

import base64
import secrets
import sys
from pathlib import Path


def main(folder: Path) -> None:
    """Write every secret that is not there yet."""
    made = {
        "postgres_password": secrets.token_urlsafe(24),
        "grafana_password": secrets.token_urlsafe(24),
        "encryption_key": base64.b64encode(secrets.token_bytes(32)).decode(),
    }
    for name, secret in made.items():
        path = folder / name
        if path.exists():
            continue
        partial = path.with_suffix(".partial")
        partial.write_text(secret + "\n")
        partial.chmod(0o444)  # the containers that mount the volume run under users of their own
        partial.replace(path)
        sys.stdout.write(f"made {name}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
