"""Trials in copies of this process, of which nothing is left here."""

import gc
import json
import os
from collections.abc import Callable
from typing import Any


def in_a_fork(work: Callable[[], Any]) -> Any:
    """What `work` returns (JSON), done in a copy of this process: nothing of it is left here."""
    reads, writes = os.pipe()
    gc.freeze()  # a collection in the copy would write to, and so copy, all that the two share
    child = os.fork()
    if not child:
        gc.disable()
        try:
            said = json.dumps({"said": work()})
        except BaseException as error:  # noqa: BLE001  told to the parent, which fails the test
            said = json.dumps({"failed": f"{type(error).__name__}: {error}"})
        with os.fdopen(writes, "w") as out:
            out.write(said)
        os._exit(0)
    os.close(writes)
    with os.fdopen(reads) as answer:
        told = json.load(answer)
    os.waitpid(child, 0)
    assert "failed" not in told, told
    return told["said"]
