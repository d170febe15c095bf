"""`make kubernetes`: every manifest is valid by the schemas of the Kubernetes versions we name.

KEDA's own kinds and kustomize's are not among these schemas; tests/unit/test_kubernetes.py looks at them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import kubernetes_validate
import yaml

FOLDER = Path(__file__).parent
VERSIONS = ("1.31", "1.34", "1.37")
FOREIGN = ("keda.sh/", "kustomize.config.k8s.io/")


def main() -> int:
    """Print what was validated against which version; returns the exit code."""
    failed = 0
    for path in sorted(FOLDER.glob("*/*.yaml")):
        for manifest in yaml.safe_load_all(path.read_text()):
            if manifest["apiVersion"].startswith(FOREIGN):
                continue
            for version in VERSIONS:
                name = f"{path.relative_to(FOLDER)} {manifest['kind']} {manifest['metadata']['name']}"
                try:
                    kubernetes_validate.validate(manifest, version, strict=True)
                except kubernetes_validate.ValidationError as error:
                    failed += 1
                    print(f"{name} {version}: {error.message}")
                else:
                    print(f"{name} {version}: valid")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
