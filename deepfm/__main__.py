"""`python -m deepfm VERB`: start sets up and runs the app, every other verb is cli's.

A Python without the packages hands over to the virtual environment that setup makes, so that
each command works with Python alone.
"""

import sys

from deepfm import setup


def main() -> int:
    """Run the verb; returns the exit code."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["start"]:
        return setup.start(arguments[1:])
    if not setup.has_library():
        return setup.hand_over(["-m", "deepfm", *arguments], setup.REQUIREMENTS)
    from deepfm import cli

    return cli.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
