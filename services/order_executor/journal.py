"""Every attempt is also one log line, with all it takes to write row and attempt again.

A database restored from an hour ago has lost both; `bridge reconcile --journal` reads these lines
(`shared/database/restore_orders.sql`). The bot's reasoning stays out: it may be long, and nothing needs it.
The lines are a record, not messages: BRIDGE_LOG_LEVEL does not silence them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.domain.money import plain
from shared.telemetry import logs

if TYPE_CHECKING:
    from services.order_executor.send import Claimed

log = logs.record(__name__)


def write(claimed: Claimed, recv_window_ms: int) -> None:
    """Log an attempt that is durable and about to be sent."""
    log.info("order.claimed", **line_of(claimed, recv_window_ms))


def line_of(claimed: Claimed, recv_window_ms: int) -> dict[str, Any]:
    """Lay out what the line holds; numbers are text, so that no digit is lost."""
    order, intent = claimed.prepared.entry.order, claimed.intent
    return {
        "order_id": order.id,
        "number": intent.number,
        "client_order_id": intent.client_order_id,
        "account_id": order.account_id,
        "user_id": order.user_id,
        "strategy_id": order.strategy_id,
        "market": str(order.market),
        "row_symbol": order.symbol,
        "side": str(order.side),
        "type": str(order.type),
        "amount": plain(order.amount),
        "price": plain(order.price),
        "stop_price": plain(order.stop_price),
        "reduce_only": order.reduce_only,
        "agent_id": order.agent_id,
        "parent_order_id": order.parent_order_id,
        "created_at": order.created_at,
        "symbol": intent.symbol,
        "base_asset": intent.base_asset,
        "quote_asset": intent.quote_asset,
        "lot_step": plain(intent.lot_step),
        "parameters": intent.parameters,
        "signed_at_ms": intent.signed_at_ms,
        "recv_window_ms": recv_window_ms,
        "base_url": intent.base_url,
        "environment_epoch": intent.environment_epoch,
        "api_key_hash": intent.api_key_hash,
        "quantity": plain(intent.ask.quantity),
        "reserved": plain(intent.ask.worth),
    }
