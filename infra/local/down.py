"""`make down`: everything of the local cloud stopped, in order; what it holds is kept."""

from infra.local import postgres, processes
from infra.local.home import Home
from infra.local.show import Show


def down(home: Home, show: Show) -> int:
    """Stop whatever of this home runs, and say what that was."""
    found = processes.left_over(home) or postgres.running_on(home) is not None
    if not found:
        show.say("Nothing is running.")
        return 0
    with show.stage("stop the local cloud"):
        take_down(home)
    show.say("What it holds is kept: `make up` goes on from there, `make clean` deletes it.")
    return 0


def take_down(home: Home) -> None:
    """Stop the AWS side, then the database. Notes whether the AWS side could save what it held."""
    was_running = processes.running_on(home) is not None
    in_order = processes.stop(home)
    postgres.stop(home)
    held = home.note("held")
    if held and was_running:
        home.take_note("held", held | {"saved": in_order})
