"""Add one user with one exchange account, as the bot would have written them, and show an INSERT to try.

Without arguments the account is `alice` of the local exchange; with two it is that of Binance's testnet whose
API key and secret are in these two files. Run by the service `trader` of the compositions; when there is an
account already, nothing is added.
"""

from __future__ import annotations

import sys
from pathlib import Path

from services.command_line.stand_in_bot import Bot
from services.local_exchange.settings import DEFAULT_ACCOUNTS
from shared.settings import DatabaseSettings, EncryptionSettings, load

EXAMPLE = """\
Insert orders as the bot does, for example with `docker compose exec postgres psql -U bot`:

  INSERT INTO orders (user_id, exchange_account_id, exchange_order_id, symbol, market_type, side, type,
                      amount, price, avg_fill_price, stop_price, agent_id, reasoning, fee_currency)
  VALUES ('{user_id}', '{id}',
          '', 'BTC/USDT', 'spot', 'buy', 'market', 250, 0, 0, 0, '', '', '');

  SELECT symbol, status, filled_amount, avg_fill_price, reasoning FROM orders ORDER BY created_at;
  SELECT symbol, side, size, entry_price, current_price, unrealized_pnl, status FROM positions;
"""


def main(files: list[str]) -> None:
    """Add what is missing."""
    if files:
        api_key, secret = (Path(file).read_text().strip() for file in files)
    else:
        api_key, secret = str(DEFAULT_ACCOUNTS[0]["api_key"]), str(DEFAULT_ACCOUNTS[0]["secret"])
    encryption_key = load(EncryptionSettings).key.get_secret_value()
    with Bot(load(DatabaseSettings).work_dsn, encryption_key=encryption_key) as bot:
        find = "SELECT id, user_id FROM exchange_accounts ORDER BY created_at LIMIT 1"
        account = bot.connection.execute(find).fetchone()
        if account is None:
            bot.account(bot.user(), api_key=api_key, secret=secret)
            account = bot.connection.execute(find).fetchone()
    assert account is not None
    sys.stdout.write(EXAMPLE.format(**account))


if __name__ == "__main__":
    main(sys.argv[1:])
