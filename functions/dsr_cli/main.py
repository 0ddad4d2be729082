"""`dsr`: check and compile the data map, look at cases and sweeps, decide cases, check what was signed."""

import argparse
import sys
from collections.abc import Callable, Sequence

from botocore.exceptions import BotoCoreError, ClientError

from dsr.errors import DsrError
from dsr_cli import (
    audit_commands,
    bundle_commands,
    case_commands,
    certificate_commands,
    map_commands,
    notice_commands,
    suppression_commands,
    sweep_commands,
)

Command = Callable[[argparse.Namespace], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit status: 0 done, 1 not done with the reason on stderr, 2 misused."""
    parser = argparse.ArgumentParser(prog="dsr", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    map_commands.add_to(commands)
    notice_commands.add_to(commands)
    case_commands.add_to(commands)
    certificate_commands.add_to(commands)
    bundle_commands.add_to(commands)
    sweep_commands.add_to(commands)
    audit_commands.add_to(commands)
    suppression_commands.add_to(commands)
    options = parser.parse_args(arguments)
    run: Command = options.run
    try:
        run(options)
    except (DsrError, BotoCoreError, ClientError, OSError) as error:
        print(f"dsr: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
