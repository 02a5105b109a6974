"""Secret references: printed, found, resolved; never compared or sliced."""

from __future__ import annotations

import base64
import hashlib

import pytest

from scs_deploy.secrets.placeholders import find, reference, resolve

VALUES = {"plain": "value", "keys": {"0": "zero", "private": "pem"}}


def test_a_reference_is_replaced_wherever_it_stands():
    text = f"a={reference('plain')};b={reference('keys')['0']}!"
    assert list(find(text)) == ["plain", "keys/0"]
    assert resolve(text, VALUES.__getitem__) == "a=value;b=zero!"


def test_a_text_without_references_is_the_same():
    assert resolve("nothing here", VALUES.__getitem__) == "nothing here"


def test_an_unknown_secret_is_named():
    with pytest.raises(KeyError, match="missing"):
        resolve(reference("missing"), VALUES.__getitem__)


def test_a_secret_cannot_be_sliced():
    with pytest.raises(TypeError, match="only printed"):
        reference("plain")[0]


def test_rabbit_hash_is_one_that_the_server_accepts_and_stays_the_same():
    """Salt (4 bytes), then sha256(salt + password): https://www.rabbitmq.com/docs/passwords."""
    texts = {resolve(reference("plain", "sha256-rabbit"), VALUES.__getitem__) for _ in range(2)}
    assert len(texts) == 1
    raw = base64.b64decode(texts.pop())
    assert raw[4:] == hashlib.sha256(raw[:4] + b"value").digest()


def test_a_value_is_spelled_for_its_file():
    values = {"x": 'p@ss/w#rd%41$x"'}.__getitem__
    assert resolve(f"password = {reference('x')}", values, "ini") == 'password = p@ss/w#rd%41$$x"'
    assert resolve(f'"{reference("x")}"', values, "json") == '"p@ss/w#rd%41$x\\""'
    assert resolve(f"://u:{reference('x').derived('url')}@h", values, "ini") == "://u:p%40ss%2Fw%23rd%2541%24x%22@h"
    assert list(find(reference("x").derived("url"))) == ["x"]
