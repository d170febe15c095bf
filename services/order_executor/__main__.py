"""`python -m services.order_executor`: one executor process."""

import sys

from services.order_executor.executor import Executor
from shared.service import serve
from shared.telemetry.metrics import EXECUTOR

if __name__ == "__main__":
    sys.exit(serve(EXECUTOR, Executor))
