"""clouds.yaml: one cloud that logs in as admin over the public endpoint."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import yaml

from scs_deploy.credentials import clouds_yaml
from scs_deploy.secrets import SecretValue

REGION = SimpleNamespace(name="box", domain="box.example")


def test_cloud_is_named_as_the_region():
    text = clouds_yaml(REGION, SecretValue("0: it's #1"), Path("/r/ca.pem"))
    cloud = yaml.safe_load(text)["clouds"]["box"]
    assert cloud["auth"]["password"] == "0: it's #1"
    assert cloud["auth"]["auth_url"] == "https://api.box.example:5000/v3"
    assert (cloud["cacert"], cloud["region_name"], cloud["interface"]) == ("/r/ca.pem", "box", "public")


def test_another_endpoint_can_be_given():
    text = clouds_yaml(REGION, "x", Path("/r/ca.pem"), "https://10.77.0.5:5000/v3")
    assert yaml.safe_load(text)["clouds"]["box"]["auth"]["auth_url"] == "https://10.77.0.5:5000/v3"
