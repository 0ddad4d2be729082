"""What the tests start ends with them, also when they are killed."""

import subprocess
import sys

import psutil

HOLDS = """
import subprocess
from tests.servers import ends_with_us
server = subprocess.Popen(["sleep", "60"])
with ends_with_us(server.pid, "TERM"):
    print(server.pid, flush=True)
    server.wait()
"""


def test_a_server_ends_when_its_tests_are_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDS], stdout=subprocess.PIPE, text=True) as tests:
        assert tests.stdout
        server = psutil.Process(int(tests.stdout.readline()))
        tests.kill()
        assert psutil.wait_procs([server], timeout=10)[1] == []
