"""`python -m services.fill_listener`: one listener process."""

import sys

from services.fill_listener.markets import MarketListeners
from shared.service import serve
from shared.telemetry.metrics import LISTENER

if __name__ == "__main__":
    sys.exit(serve(LISTENER, MarketListeners))
