"""Schemas of the kinds that are not Kubernetes' own, as far as our manifests go; written by us.

They are closed on purpose: a field that is not named here is refused, although KEDA may know it, and whoever
uses it looks it up first. Sources: KEDA documentation 2.15, "ScaledObject specification", "Authentication"
(TriggerAuthentication) and the scaler "PostgreSQL"; Kustomize reference, "kustomization".
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string", "minLength": 1}
COUNT: Schema = {"type": "integer", "minimum": 0}
SECONDS: Schema = {"type": "integer", "minimum": 1}
NUMBER_AS_TEXT: Schema = {"type": "string", "pattern": r"^\d+(\.\d+)?$"}


def closed(required: dict[str, Schema], **optional: Schema) -> Schema:
    """Describe an object that has these fields and no others."""
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": list(required),
        "additionalProperties": False,
    }


def listed(item: Schema) -> Schema:
    """Describe a list that is not empty."""
    return {"type": "array", "items": item, "minItems": 1}


def manifest(api_version: str, kind: str, spec: Schema) -> Schema:
    """Describe a whole manifest."""
    labels = {"type": "object", "additionalProperties": {"type": "string"}}
    metadata = closed({"name": TEXT}, namespace=TEXT, labels=labels, annotations=labels)
    fixed = {"apiVersion": {"const": api_version}, "kind": {"const": kind}}
    return closed({**fixed, "metadata": metadata, "spec": spec})


# KEDA asks from its own namespace, so a host without one leads nowhere. Everything is text, numbers too.
POSTGRESQL = closed(
    {
        "host": {"type": "string", "pattern": r"^[a-z0-9-]+\.[a-z0-9.-]+$"},
        "port": {"type": "string", "pattern": r"^\d+$"},
        "dbName": TEXT,
        "userName": TEXT,
        "sslmode": {"enum": ["disable", "require", "verify-ca", "verify-full"]},
        "query": TEXT,
        "targetQueryValue": NUMBER_AS_TEXT,
    },
    activationTargetQueryValue=NUMBER_AS_TEXT,
)
TRIGGER = closed(
    {"type": {"const": "postgresql"}, "metadata": POSTGRESQL, "authenticationRef": closed({"name": TEXT})},
    name=TEXT,
    metricType={"enum": ["AverageValue", "Value"]},
)
SCHEMAS: dict[tuple[str, str], Schema] = {
    ("keda.sh/v1alpha1", "ScaledObject"): manifest(
        "keda.sh/v1alpha1",
        "ScaledObject",
        closed(
            {
                "scaleTargetRef": closed({"name": TEXT}, apiVersion=TEXT, kind=TEXT),
                "triggers": listed(TRIGGER),
            },
            minReplicaCount=COUNT,
            maxReplicaCount=SECONDS,
            pollingInterval=SECONDS,
            cooldownPeriod=COUNT,
            fallback=closed({"failureThreshold": COUNT, "replicas": COUNT}),
        ),
    ),
    ("keda.sh/v1alpha1", "TriggerAuthentication"): manifest(
        "keda.sh/v1alpha1",
        "TriggerAuthentication",
        closed({"secretTargetRef": listed(closed({"parameter": TEXT, "name": TEXT, "key": TEXT}))}),
    ),
    ("kustomize.config.k8s.io/v1beta1", "Kustomization"): closed(
        {
            "apiVersion": {"const": "kustomize.config.k8s.io/v1beta1"},
            "kind": {"const": "Kustomization"},
            "resources": listed(TEXT),
        },
        namespace=TEXT,
        labels=listed({"type": "object"}),
        images=listed(closed({"name": TEXT}, newName=TEXT, newTag=TEXT, digest=TEXT)),
        configMapGenerator=listed(
            closed({"name": TEXT, "literals": listed({"type": "string", "pattern": r"^[A-Z0-9_]+="})})
        ),
    ),
}
