"""JSON in and out of the admin API."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web


def as_json(body: Any, status: int = 200) -> web.Response:
    """Answer with JSON."""
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


async def read_object(request: web.Request) -> dict[str, Any]:
    """Read the JSON object of a request, empty without a body.

    Raises:
        ValueError: the body is no JSON.
        TypeError: it is no object.

    """
    text = await request.read()
    if not text:
        return {}
    try:
        body = orjson.loads(text)
    except orjson.JSONDecodeError as broken:
        raise ValueError(f"The body is not JSON: {broken}.") from broken
    if not isinstance(body, dict):
        raise TypeError("The body must be a JSON object.")
    return body
