"""PROTOCOL 3: everything about an attempt that is decided before its claim."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from services.order_executor import trail
from services.order_executor.send import Claimed
from shared.binance.sign import query
from shared.database.claim import Intent
from shared.domain.attempt import client_order_id

if TYPE_CHECKING:
    from services.order_executor.prepare import Prepared
    from shared.binance.sign import Value
    from shared.telemetry.traces import Tracing


def intend(order: Prepared, recv_window_ms: int, tracing: Tracing) -> Claimed:
    """Decide an attempt's id, its parameters, its signing timestamp and its token."""
    entry, instrument = order.entry, order.instrument
    number = entry.attempts + 1
    own_id = client_order_id(entry.order.id, number)
    signed_at_ms = order.venue.rest.clock.exchange_now_ms()
    params: dict[str, Value] = {
        **order.sized.params,
        order.sized.client_id_parameter: own_id,
        "recvWindow": recv_window_ms,
        "timestamp": signed_at_ms,
    }
    begun = trail.begin(tracing, entry)
    intent = Intent(
        entry_id=entry.entry_id,
        order_id=entry.order.id,
        number=number,
        row_version=entry.row_version,
        announced=entry.announced,
        client_order_id=own_id,
        symbol=instrument.symbol,
        base_asset=instrument.base,
        quote_asset=instrument.quote,
        lot_step=instrument.filters.lot_step,
        environment_epoch=order.venue.environment_epoch,
        parameters=query(params),
        signed_at_ms=signed_at_ms,
        base_url=order.venue.base_url,
        api_key_hash=order.credentials.fingerprint,
        token=uuid4(),
        ask=order.ask,
        trace=begun.trace,
    )
    return Claimed(order, intent, begun)
