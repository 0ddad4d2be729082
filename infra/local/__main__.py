"""The command line: `python -m infra.local up | down | demo | status`; `make` has the same words."""

import argparse
import os
import signal
import sys
from types import FrameType

from infra.local import postgres, processes
from infra.local.cloud import Cloud
from infra.local.down import INTERRUPTIONS
from infra.local.home import DEFAULT, Home, LocalCloudError
from infra.local.show import Show

MOST_PEOPLE = 1_000_000  # what the local cloud holds of them lies in memory
INTERRUPTED = 130  # what a shell reports after Ctrl-C


def main(arguments: list[str] | None = None) -> int:
    """Do what the arguments say; returns the exit code."""
    options = _parse(arguments)
    home, show = Home(DEFAULT), Show()
    # Being told to end, or losing the terminal, is treated like Ctrl-C: whatever was started is stopped in
    # order.
    # SIGINT too: a shell that starts this in the background has it ignored.
    for number in INTERRUPTIONS:
        signal.signal(number, _interrupt)
    try:
        return _run(options, home, show)
    except KeyboardInterrupt:
        print("\nInterrupted; everything that was started is stopped.", file=sys.stderr, flush=True)
        # Not by returning: Python would wait for the threads that were loading people, and those would go
        # on trying for minutes to reach what was just stopped.
        os._exit(INTERRUPTED)
    except LocalCloudError as error:
        print(f"\nerror: {error}", file=sys.stderr)
        return 1


def _run(options: argparse.Namespace, home: Home, show: Show) -> int:
    if options.command == "status":
        return status(home, show)
    with home.alone():
        # Imported here: these pull in much, and a wrong argument should be told at once.
        if options.command == "down":
            from infra.local.down import down

            return down(home, show)
        if options.command == "up":
            from infra.local.up import up

            return up(home, options.port, options.people, show)
        from infra.local.demo import demo

        return demo(home, options.port, options.people, show, keep=options.keep)


def status(home: Home, show: Show) -> int:
    """Say what runs; exit code 3 if nothing does, as service managers have it."""
    port = processes.running_on(home)
    database = postgres.running_on(home)
    if port is None:
        show.say("The local cloud does not run.")
        return 3
    show.say(f"AWS services  {Cloud(port).endpoint}, {len(processes.left_over(home))} processes")
    show.say(f"PostgreSQL    {f'{postgres.HOST}:{database}' if database else 'does not run'}")
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m infra.local", description="The local cloud.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, about in (
        ("up", "start everything and leave it running"),
        ("demo", "play the story of an access request from a clean start, and check it"),
        ("down", "stop everything and keep what it holds"),
        ("status", "say what runs"),
    ):
        command = commands.add_parser(name, help=about)
        if name in ("up", "demo"):
            command.add_argument(
                "--port", type=_port, help="of the AWS APIs; default 4566, or the one it had"
            )
            command.add_argument(
                "--people", type=_people, help="how many the sample community has; default 2000"
            )
        if name == "demo":
            command.add_argument("--keep", action="store_true", help="leave everything running afterwards")
    return parser.parse_args(arguments)


def _port(text: str) -> int:
    if not text.isdigit() or not 1024 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError("a port is a number from 1024 to 65535")
    return int(text)


def _people(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= MOST_PEOPLE:
        raise argparse.ArgumentTypeError(
            f"the community has from 1 to {MOST_PEOPLE:,} people, those of the stories always among them"
        )
    return int(text)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
