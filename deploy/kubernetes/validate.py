"""`make kubernetes`: every manifest is valid, by Kubernetes' own schemas of several versions, KEDA's by ours.

Each manifest is spoiled, too, in several ways: a schema that lets that pass checks nothing. Writes
build/proof/kubernetes.json.
"""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import kubernetes_validate
import yaml
from foreign_schemas import SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parent
PROOF = Path("build/proof/kubernetes.json")
VERSIONS = ("1.31", "1.34", "1.37")
OURS = "documentation"


def complaint(manifest: dict[str, Any], version: str) -> str:
    """Say what is wrong with a manifest; nothing when it is valid."""
    try:
        if version == OURS:
            jsonschema.validate(manifest, SCHEMAS[manifest["apiVersion"], manifest["kind"]])
        else:
            kubernetes_validate.validate(manifest, version, strict=True)
    except (kubernetes_validate.ValidationError, jsonschema.ValidationError) as error:
        return str(error.message)
    return ""


def spoiled(manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what a slip of the hand makes of it: a field too many, and for each text of KEDA's a number."""
    worse = copy.deepcopy(manifest)
    worse.get("spec", worse)["replica"] = 3
    yield worse
    for trigger in range(len(manifest.get("spec", {}).get("triggers", ()))):
        for name in manifest["spec"]["triggers"][trigger]["metadata"]:
            for change in (
                lambda data, name=name: data.pop(name),
                lambda data, name=name: data.update({name: 5432}),
            ):
                worse = copy.deepcopy(manifest)
                change(worse["spec"]["triggers"][trigger]["metadata"])
                yield worse


def main() -> int:
    """Print what was validated by which schema; returns the exit code."""
    rows = []
    for path in sorted(FOLDER.glob("*/*.yaml")):
        for manifest in yaml.safe_load_all(path.read_text()):
            foreign = (manifest["apiVersion"], manifest["kind"]) in SCHEMAS
            for version in (OURS,) if foreign else VERSIONS:
                wrong = complaint(manifest, version)
                passed = sum(not complaint(one, version) for one in spoiled(manifest))
                wrong = wrong or (f"{passed} spoiled forms pass, too" if passed else "")
                name = manifest.get("metadata", {}).get("name", path.parent.name)
                rows.append(
                    {
                        "file": str(path.relative_to(FOLDER)),
                        "kind": manifest["kind"],
                        "name": name,
                        "schema": version,
                        "complaint": wrong,
                    }
                )
    for row in rows:
        where = f"{row['file']:36} {row['kind']:22} {row['name']:16} {row['schema']:14}"
        print(where, row["complaint"] or "valid")
    ok = not any(row["complaint"] for row in rows)
    PROOF.parent.mkdir(parents=True, exist_ok=True)
    PROOF.write_text(json.dumps({"ok": ok, "manifests": rows}, indent=1) + "\n")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
