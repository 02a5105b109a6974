"""``scs-deploy``, also as ``python -m scs_deploy.cli``: settles the process before anything else is imported."""

from scs_deploy.machine import environment


def main() -> None:
    """Entry point of the ``scs-deploy`` program."""
    environment.settle()
    from scs_deploy.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
