"""``scs-deploy``, also as ``python -m scs_deploy.cli``: settles the process before anything else is imported."""

import gc

from scs_deploy.machine import environment

_OBJECTS = 100_000
"""How many are made before Python looks for circles among them: a command makes most of its own while it starts, and keeps them."""


def main() -> None:
    """Entry point of the ``scs-deploy`` program."""
    gc.set_threshold(_OBJECTS)
    environment.settle()
    from scs_deploy.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
