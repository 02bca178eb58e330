"""A Celery application as its user writes it: its tasks publish to live channels.

Its broker is a folder, so that a test needs no further server.
"""

import os
from pathlib import Path

from celery import Celery

from itemwire import Publisher

FOLDER = Path(os.environ["WORKER_FOLDER"])

app = Celery("orders", broker="filesystem://")
app.conf.broker_transport_options = {
    "data_folder_in": str(FOLDER),
    "data_folder_out": str(FOLDER),
    "control_folder": str(FOLDER),
}
app.conf.task_ignore_result = True

publisher = Publisher()  # connects in each worker process, at its first publish


@app.task  # type: ignore[untyped-decorator] # Celery has no types
def pack(order: int) -> None:
    """Pack an order, and tell whoever watches it."""
    publisher.publish(
        f"order:{order}", {"status": "packed", "pid": os.getpid()}, idempotency_key=f"pack-{order}"
    )
