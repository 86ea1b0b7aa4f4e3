"""What counts as a difference between a live object and what is desired, and what does not."""

from __future__ import annotations

from typing import Any

import pytest

from ocr_operator.core.canonical import canonical_json, digest, without_empty
from ocr_operator.core.contains import contains, difference
from ocr_operator.core.quantity import amount, less, plain, same


@pytest.mark.parametrize(
    ("live", "desired"),
    [
        ({"a": 1, "added": 2}, {"a": 1}),
        ({}, {"initialDelaySeconds": 0, "value": "", "labels": {}, "list": []}),
        (
            {"env": [{"name": "B"}, {"name": "A", "value": "1"}]},
            {"env": [{"name": "A", "value": "1"}]},
        ),
        ({"env": [{"name": "A"}]}, {"env": [{"name": "A", "value": ""}]}),
        (
            {"requests": {"cpu": "1", "memory": "1Gi"}},
            {"requests": {"cpu": "1000m", "memory": "1024Mi"}},
        ),
        ({"emptyDir": {"sizeLimit": "1Gi"}}, {"emptyDir": {"sizeLimit": "1024Mi"}}),
        (
            {"ports": [{"containerPort": 8081, "name": "http", "protocol": "TCP"}]},
            {"ports": [{"containerPort": 8081, "name": "http"}]},
        ),
        ({"tolerations": [{"key": "a", "added": 1}]}, {"tolerations": [{"key": "a"}]}),
    ],
)
def test_what_the_api_server_adds_and_rewrites_is_no_difference(live: Any, desired: Any) -> None:
    assert contains(live, desired)


@pytest.mark.parametrize(
    ("live", "desired", "path"),
    [
        ({"a": {"b": 2}}, {"a": {"b": 1}}, "a.b"),
        ({}, {"a": {"b": {"c": 1}}}, "a.b.c"),
        ({"a": 7}, {"a": {"b": 1}}, "a"),
        ({"initialDelaySeconds": 30}, {"initialDelaySeconds": 0}, "initialDelaySeconds"),
        ({"paused": True}, {"paused": False}, "paused"),
        ({"a": 1}, {"a": True}, "a"),
        (
            {"env": [{"name": "A", "value": "1"}]},
            {"env": [{"name": "A", "value": "2"}]},
            "env[A].value",
        ),
        ({"env": []}, {"env": [{"name": "A", "value": "2"}]}, "env[A]"),
        (
            {"tolerations": [{"key": "a"}, {"key": "b"}]},
            {"tolerations": [{"key": "a"}]},
            "tolerations",
        ),
        ({"nodeSelector": {"a": "1", "b": "2"}}, {"nodeSelector": {"a": "1"}}, "nodeSelector"),
        ({"drop": ["NET_RAW"]}, {"drop": ["ALL"]}, "drop.0"),
        ({"requests": {"cpu": "2"}}, {"requests": {"cpu": "1000m"}}, "requests.cpu"),
        ({"image": "1000m"}, {"image": "1"}, "image"),
        ({"ports": [{"port": 8081}]}, {"ports": [{"port": 9000}]}, "ports[9000]"),
    ],
)
def test_a_difference_has_its_path(live: Any, desired: Any, path: str) -> None:
    assert difference(live, desired) == path


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1000m", "1"),
        ("1024Mi", "1Gi"),
        ("1e3", "1k"),
        ("1E3", "1000"),
        ("0.5", "500m"),
        ("x", "x"),
    ],
)
def test_quantities_that_are_the_same(one: str, other: str) -> None:
    assert same(one, other)


@pytest.mark.parametrize(("one", "other"), [("1", "2"), ("1M", "1Mi"), ("x", "1"), ("x", "y")])
def test_quantities_that_are_not(one: str, other: str) -> None:
    assert not same(one, other)


@pytest.mark.parametrize("text", ["", "m", "NaN", "Infinity", "1Xi", "one"])
def test_what_is_no_quantity_has_no_amount(text: str) -> None:
    assert amount(text) is None
    assert plain(text) == text


@pytest.mark.parametrize(
    ("quantity", "text"),
    [("500m", "0.5"), ("2", "2"), ("2000m", "2"), ("50Mi", "52428800"), ("10", "10")],
)
def test_a_quantity_without_its_suffix(quantity: str, text: str) -> None:
    assert plain(quantity) == text


def test_less_is_false_for_what_is_no_quantity() -> None:
    assert less("500m", "1")
    assert not less("1", "500m")
    assert not less("x", "1")


def test_canonical_json_does_not_know_the_order() -> None:
    assert canonical_json({"b": 1, "a": [2]}) == '{"a":[2],"b":1}'
    assert digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1})


def test_empty_and_absent_say_the_same() -> None:
    spec = {"nodeSelector": {}, "gpu": {"count": 0}, "probes": {"startup": {}}, "suspend": False}
    assert without_empty(spec) == {"gpu": {"count": 0}, "suspend": False}
    assert without_empty({"nodeSelector": {"a": ""}}) == {"nodeSelector": {"a": ""}}
