"""Written by scs-deploy: Cinder's API. Access rules may name it by either type that it has in the catalogue.

keystonemiddleware compares a rule's service with one type alone.
"""

from keystonemiddleware import auth_token

TYPE, OTHER = "block-storage", "volumev3"

_validate = auth_token.AuthProtocol.validate_allowed_request


def _validate_either(self, request, token):
    credential = token.get("application_credential") or {}
    if rules := credential.get("access_rules"):
        rules = [{**rule, "service": TYPE} if rule["service"] == OTHER else rule for rule in rules]
        token = {**token, "application_credential": {**credential, "access_rules": rules}}
    return _validate(self, request, token)


auth_token.AuthProtocol.validate_allowed_request = _validate_either

from cinder.wsgi.api import application  # noqa: E402, F401 - after the change, since it makes the filter
