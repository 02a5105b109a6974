#!/usr/bin/python3
"""Written by scs-deploy: the first administrator with project and roles, and scs-deploy's own account; safe to run again."""

from contextlib import suppress
from pathlib import Path

import keystone.conf
from keystone import exception
from keystone.cmd.bootstrap import Bootstrapper
from keystone.common import provider_api, sql

PASSWORDS = Path("/etc/keystone/bootstrap")
ACCOUNT = PASSWORDS.joinpath("account").read_text().strip()

sql.initialize()
keystone.conf.configure()
keystone.conf.set_default_for_default_log_levels()
keystone.conf.CONF([], project="keystone", default_config_files=["/etc/keystone/keystone.conf"])
keystone.conf.setup_logging()
# Whoever locked an account by wrong passwords does not keep this from its work.
keystone.conf.CONF.set_override("lockout_failure_attempts", None, "security_compliance")

first = Bootstrapper()
first.admin_username = first.project_name = first.admin_role_name = "admin"
first.admin_password = PASSWORDS.joinpath("admin").read_text()
first.immutable_roles = True
first.bootstrap()

# Exempt from the first moment on, or strangers who try its name could lock it before anybody logs in.
identity = provider_api.ProviderAPIs.identity_api
wanted = {
    "name": ACCOUNT,
    "domain_id": first.default_domain_id,
    "enabled": True,
    "scs_deploy": ACCOUNT,
    "options": {"ignore_lockout_failure_attempts": True, "ignore_password_expiry": True},
}
password = PASSWORDS.joinpath("scs-deploy").read_text()
try:
    own = identity.get_user_by_name(ACCOUNT, first.default_domain_id)
except exception.UserNotFound:
    own = identity.create_user({**wanted, "password": password})
else:
    identity.update_user(own["id"], dict(wanted))
    try:
        identity.driver.authenticate(own["id"], password)
    except AssertionError:  # a password that is set anew ends all tokens
        identity.update_user(own["id"], {"password": password})
with suppress(exception.Conflict):  # it has the role
    provider_api.ProviderAPIs.assignment_api.add_role_to_user_and_project(
        own["id"], first.project_id, first.admin_role_id
    )
