"""Strict JSON: an object that has a key twice is refused, wherever its colons stand."""

import json

import pytest

from safeact_env.server.strict_json import strict_json

FINE = [{}, {"a": 1}, {"a:": ":", "b": [{"a": {"a": 2.5}}, {"a": None}]}, [[{"a": {}}], "a:b:c"], ":", 7]


@pytest.mark.parametrize("value", FINE, ids=json.dumps)
@pytest.mark.parametrize("as_sent", [str, str.encode])
def test_json_without_a_key_twice_is_read(value, as_sent):
    assert strict_json(as_sent(json.dumps(value))) == value


@pytest.mark.parametrize("as_sent", [str, str.encode])
@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":1}',
        '{"a":1,"\\u0061":2}',
        '{"b":{"a":1,"a":2}}',
        '[{"a":1},{"a":[{"b":1,"b":{}}]}]',
        '{"a":":","a":":"}',
        '{"a":{"b":1,"c":2},"a":{}}',
        '{"a":{},"a":{"b":1}}',
        '{"a" : 1 , "a" :2}',
    ],
)
def test_a_key_twice_in_one_object_is_refused(text, as_sent):
    with pytest.raises(ValueError, match="twice"):
        strict_json(as_sent(text))
