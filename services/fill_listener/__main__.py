"""`python -m services.fill_listener`: one listener process."""

import sys

from services.fill_listener.listener import FillListener
from shared.service import serve
from shared.telemetry.metrics import LISTENER

if __name__ == "__main__":
    sys.exit(serve(LISTENER, FillListener))
