"""What a dashboard is made of, and how Grafana reads it: a panel is a title, a unit and its queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SOURCE = {"type": "prometheus", "uid": "prometheus"}
WIDTH = 24  # of Grafana's grid


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    Args:
        title: what it shows, in a trader's words.
        queries: pairs of PromQL and legend.
        unit: Grafana's name of the unit.
        about: what to read from it.
        kind: `timeseries` or `stat`.
        width: of the grid's 24 columns.
        bad: a stat turns red from this value on, None never.

    """

    title: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    about: str = ""
    kind: str = "timeseries"
    width: int = 8
    bad: float | None = None


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard: rows of panels under headings."""

    uid: str
    title: str
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]
    by_account: bool = False


def stat(title: str, query: str, *, unit: str = "short", bad: float | None = None, about: str = "") -> Panel:
    """Make a small panel with one number."""
    return Panel(title, ((query, ""),), unit, about, "stat", 3, bad)


def times(title: str, metric: str, about: str = "", width: int = 8) -> Panel:
    """Make a panel of a histogram's median, 95th and 99th percentile."""
    rate = f"sum by (le) (rate({metric}_bucket[$__rate_interval]))"
    queries = tuple(
        (f"histogram_quantile({share}, {rate})", name)
        for share, name in ((0.5, "median"), (0.95, "p95"), (0.99, "p99"))
    )
    return Panel(title, queries, "s", about, width=width)


def counted(metric: str, *labels: str, where: str = "", trouble: bool = False) -> tuple[str, str]:
    """Query how much a counter grew a minute; `trouble`: it may never have counted anything."""
    by = f" by ({', '.join(labels)})" if labels else ""
    grown = f"rate({metric}{where}[$__rate_interval]) * 60"
    if trouble:
        # A series that begins has no rate yet, and often it begins with the one event worth seeing.
        begun = f"({metric}{where} unless {metric}{where} offset $__rate_interval)"
        query = f"sum{by} ({begun} or {grown}) or vector(0)"
    else:
        query = f"sum{by} ({grown})"
    return query, " ".join(f"{{{{{label}}}}}" for label in labels)


def panel_json(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    """Return one panel as Grafana reads it."""
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.bad is not None:
        steps.append({"color": "red", "value": panel.bad})
    defaults: dict[str, Any] = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.kind == "timeseries":
        defaults["custom"] = {
            "drawStyle": "line",
            "fillOpacity": 10,
            "showPoints": "never",
            "spanNulls": False,
        }
        defaults["color"] = {"mode": "palette-classic"}
        options: dict[str, Any] = {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    else:
        options = {
            "reduceOptions": {"values": False, "calcs": ["lastNotNull"], "fields": ""},
            "colorMode": "value",
            "graphMode": "area",
            "textMode": "auto",
            "orientation": "auto",
            "justifyMode": "auto",
        }
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": SOURCE,
        "gridPos": {"h": 4 if panel.kind == "stat" else 8, "w": panel.width, "x": x, "y": y},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": SOURCE,
                "expr": expr,
                "legendFormat": legend or "__auto",
            }
            for index, (expr, legend) in enumerate(panel.queries)
        ],
    }


def laid_out(rows: tuple[tuple[str, tuple[Panel, ...]], ...]) -> list[dict[str, Any]]:
    """Put the panels on the grid, left to right, a heading above each row."""
    listed: list[dict[str, Any]] = []
    y = 0
    for heading, panels in rows:
        place = {"h": 1, "w": WIDTH, "x": 0, "y": y}
        listed.append(
            {
                "id": len(listed) + 1,
                "type": "row",
                "title": heading,
                "collapsed": False,
                "gridPos": place,
                "panels": [],
            }
        )
        x, y, height = 0, y + 1, 0
        for panel in panels:
            if x + panel.width > WIDTH:
                x, y = 0, y + height
            listed.append(panel_json(panel, len(listed) + 1, x, y))
            height = listed[-1]["gridPos"]["h"]
            x += panel.width
        y += height
    return listed


def variables(dashboard: Dashboard) -> list[dict[str, Any]]:
    """Return what may be chosen at the top."""
    if not dashboard.by_account:
        return []
    query = "label_values(bridge_stream_up, account)"
    return [
        {
            "name": "account",
            "label": "Account",
            "type": "query",
            "datasource": SOURCE,
            "definition": query,
            "query": {"query": query, "refId": "account"},
            "refresh": 2,
            "sort": 1,
            "multi": False,
            "includeAll": False,
        }
    ]


def dashboard_json(dashboard: Dashboard) -> dict[str, Any]:
    """Return a dashboard as Grafana reads it."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["bridge"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "5s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "graphTooltip": 1,
        "links": [
            {
                "type": "dashboards",
                "title": "Bridge",
                "tags": ["bridge"],
                "asDropdown": False,
                "includeVars": False,
                "keepTime": True,
                "targetBlank": False,
                "icon": "external link",
                "tooltip": "",
                "url": "",
            }
        ],
        "templating": {"list": variables(dashboard)},
        "annotations": {"list": []},
        "panels": laid_out(dashboard.rows),
    }
