"""``python -m scs_deploy.cli`` is ``scs-deploy``."""

from scs_deploy.cli.main import main

main()
