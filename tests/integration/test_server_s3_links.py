"""Links to kept results, and the prefixes that requests choose, with a real S3 server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from ocr_server import OcrServer, pdf, picture, refusal, running_server
from s3_server import ACCESS, SECRET, Store, s3_server

SIGNATURE = "X-Amz-Signature"
LONGEST_S = 900


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with s3_server(tmp_path_factory.mktemp("s3"), "results") as store:
        yield store


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("secret")


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, store: Store, secret: Path
) -> Iterator[OcrServer]:
    (secret / "access-key").write_text(ACCESS)
    (secret / "secret-key").write_text(SECRET)
    with running_server(
        tmp_path_factory.mktemp("server"),
        {"text": "kept"},
        **in_bucket(store),
        ocr_s3_credentials_dir=secret,
        ocr_s3_allowed_prefixes="Invoices, счета/2025/",
        ocr_s3_presign_max_s=LONGEST_S,
    ) as server:
        yield server


def in_bucket(store: Store) -> dict[str, str]:
    return {
        "ocr_s3_endpoint": store.endpoint,
        "ocr_s3_bucket": "results",
        "ocr_s3_prefix": "team/",
        "ocr_s3_region": "us-east-1",
    }


def read(server: OcrServer, **fields: Any) -> dict[str, Any]:
    answer = server.read(picture(), data={name: str(value) for name, value in fields.items()})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def refused(server: OcrServer, **fields: Any) -> tuple[int, str]:
    return refusal(server.read(picture(), data=fields))


def got(url: str) -> httpx.Response:
    return httpx.get(url, trust_env=False)


def test_a_link_downloads_the_result_without_a_key(server: OcrServer) -> None:
    before = datetime.now(UTC)
    answer = read(server, s3_presign_s=300)
    kept = answer["s3"]
    found = got(kept["url"])
    assert found.status_code == 200
    assert found.json()["result"]["text"] == "kept"
    assert found.json()["result"]["id"] == answer["id"]
    lasts = datetime.fromisoformat(kept["expires_at"]) - before
    assert timedelta(seconds=298) < lasts <= timedelta(seconds=300 + 5)
    # For this object, and for reading it.
    assert got(kept["url"].replace(answer["id"], "0" * 32)).status_code == 403
    assert httpx.put(kept["url"], content=b"{}", trust_env=False).status_code == 403
    assert "url" not in read(server)["s3"]


def test_a_link_ends_when_it_says(server: OcrServer) -> None:
    kept = read(server, s3_presign_s=2)["s3"]
    assert got(kept["url"]).status_code == 200
    ends = datetime.fromisoformat(kept["expires_at"])
    # The second of its end may count as its own.
    time.sleep(max(0.0, (ends - datetime.now(UTC)).total_seconds()) + 1.1)
    assert got(kept["url"]).status_code == 403


def test_a_link_of_a_job_is_made_with_every_answer_and_kept_nowhere(
    server: OcrServer, store: Store
) -> None:
    job = server.submitted(pdf(1), data={"s3_presign_s": "100", "s3_prefix": "Invoices/jobs"})
    assert server.get(job, params={"wait": 20}).status_code == 200
    server.wait_for(lambda: server.get(job).json()["status"] == "succeeded")
    first = server.get(f"{job}/result").json()["s3"]
    time.sleep(1.1)  # a link has the second in which it was made
    second = server.get(f"{job}/result").json()["s3"]
    assert first["key"].startswith("team/Invoices/jobs/20")
    assert first["key"] == second["key"] and first["url"] != second["url"]
    assert got(second["url"]).json()["result"]["text"] == "kept"
    at_once = server.read(
        picture(), data={"s3_presign_s": "100"}, headers={"Prefer": "respond-async, wait=20"}
    )
    assert got(at_once.json()["s3"]["url"]).status_code == 200
    files = [path for path in store.folder.rglob("*") if path.is_file()]
    assert any(path.name == "result.json" for path in files)
    for path in files:
        assert SIGNATURE.encode() not in path.read_bytes()


def test_a_link_is_signed_with_the_credentials_of_now(server: OcrServer, secret: Path) -> None:
    key = secret / "secret-key"
    assert got(read(server, s3_presign_s=60)["s3"]["url"]).status_code == 200
    job = server.submitted(pdf(1), data={"s3_presign_s": "60"})
    server.wait_for(lambda: server.get(job).json()["finished_at"])
    key.write_text("another")
    answer = read(server, s3_presign_s=60)
    assert [warning["code"] for warning in answer["warnings"]] == ["s3_failed"]
    assert "s3" not in answer
    key.write_text(SECRET)
    assert got(server.get(f"{job}/result").json()["s3"]["url"]).status_code == 200


def test_no_link_is_in_the_log_or_in_a_metric(server: OcrServer) -> None:
    url = read(server, s3_presign_s=60)["s3"]["url"]
    assert SIGNATURE in url
    for told in (server.log, server.get("/metrics").text, server.get("/health").text):
        assert SIGNATURE not in told
        assert ACCESS not in told


@pytest.mark.parametrize("seconds", ["0", "-1", "1.5", "true", "", str(LONGEST_S + 1), "9" * 30])
def test_a_link_lasts_no_longer_than_is_allowed(server: OcrServer, seconds: str) -> None:
    assert refused(server, s3_presign_s=seconds) == (422, "invalid_field")
    job = server.submit(pdf(1), data={"s3_presign_s": seconds})
    assert refusal(job) == (422, "invalid_field")


def test_what_is_not_kept_has_no_link_and_no_prefix(server: OcrServer) -> None:
    for fields in ({"s3_presign_s": "60"}, {"s3_prefix": "Invoices"}):
        assert refused(server, **fields, save_to_s3="false") == (422, "invalid_field")


def test_an_administrator_allows_no_links(store: Store, tmp_path: Path) -> None:
    public = "http://ocr-files.example.org:9000"
    settings = {**in_bucket(store), "ocr_s3_access_key": ACCESS, "ocr_s3_secret_key": SECRET}
    with running_server(
        tmp_path / "none", **settings, ocr_s3_presign_max_s=0, ocr_s3_public_endpoint=public
    ) as server:
        assert refused(server, s3_presign_s="1") == (422, "invalid_field")
        told = server.get("/v1/models").json()["data"][0]["s3"]
        assert told == {"configured": True, "prefixes": False, "presign_max_s": 0}


def test_a_link_names_the_endpoint_that_clients_reach(store: Store, tmp_path: Path) -> None:
    port = store.endpoint.rpartition(":")[2]
    public = f"http://localhost:{port}"
    settings = {**in_bucket(store), "ocr_s3_access_key": ACCESS, "ocr_s3_secret_key": SECRET}
    with running_server(tmp_path, **settings, ocr_s3_public_endpoint=public) as server:
        url = read(server, s3_presign_s=60)["s3"]["url"]
        assert url.startswith(f"{public}/results/team/20")
        assert got(url).status_code == 200
        # The address is signed: one that is only put in its place is none.
        assert got(url.replace(public, store.endpoint)).status_code == 403


def test_without_s3_both_are_refused(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        for fields in ({"s3_presign_s": "60"}, {"s3_prefix": "Invoices"}):
            assert refused(server, **fields) == (422, "s3_not_configured")
            assert refusal(server.submit(pdf(1), data=fields)) == (422, "s3_not_configured")
        # Nor is it taken for a folder of a volume.
        assert list((server.home / "output").rglob("*")) == []


@pytest.mark.parametrize(
    ("prefix", "folder"),
    [
        ("Invoices", "Invoices"),
        ("Invoices/", "Invoices"),
        ("Invoices/2025/ю д", "Invoices/2025/ю д"),
        ("счета/2025", "счета/2025"),
        (f"Invoices/{'x' * 246}", f"Invoices/{'x' * 246}"),
    ],
)
def test_a_result_is_kept_below_the_prefix_that_was_asked_for(
    server: OcrServer, store: Store, prefix: str, folder: str
) -> None:
    answer = read(server, s3_prefix=prefix, s3_presign_s=60)
    key = answer["s3"]["key"]
    assert key.startswith(f"team/{folder}/20") and key.endswith(f"/{answer['id']}.json")
    kept = json.loads((store.folder / "results" / key).read_bytes())
    assert kept["result"]["id"] == answer["id"]
    assert got(answer["s3"]["url"]).json() == kept


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "/",
        "/Invoices",
        "//Invoices",
        "Invoices//",
        "Invoices//a",
        "..",
        "../Invoices",
        "Invoices/..",
        "Invoices/../../other",
        "Invoices/./a",
        "Invoices/.hidden",
        "Invoices/...",
        "Invoices\\..\\other",
        "Invoices/%2e%2e/other",
        "Invoices/a\nb",
        "Invoices/a\0b",
        "Invoices/\u202eb",
        "Invoices/\u200b",
        "Invoices/\u2028",
        f"Invoices/{'x' * 247}",
        f"Invoices/{'я' * 124}",
        "jobs",
        "jobs-active/1",
    ],
)
def test_what_is_no_prefix_is_refused(server: OcrServer, store: Store, prefix: str) -> None:
    before = sorted(store.folder.rglob("*"))
    assert refused(server, s3_prefix=prefix) == (422, "invalid_field")
    assert refusal(server.submit(pdf(1), data={"s3_prefix": prefix})) == (422, "invalid_field")
    assert sorted(store.folder.rglob("*")) == before


@pytest.mark.parametrize("prefix", ["Invoice", "Invoices2", "invoices", "счета", "счета/20", "a"])
def test_a_prefix_that_is_not_allowed_is_refused(server: OcrServer, prefix: str) -> None:
    answer = server.read(picture(), data={"s3_prefix": prefix})
    assert refusal(answer) == (422, "s3_prefix_not_allowed")
    assert "Invoices" not in answer.json()["error"]["message"]  # what others use is their own
    assert refusal(server.submit(pdf(1), data={"s3_prefix": prefix})) == refusal(answer)


def test_no_request_chooses_a_prefix_unless_one_is_allowed(store: Store, tmp_path: Path) -> None:
    settings = {**in_bucket(store), "ocr_s3_access_key": ACCESS, "ocr_s3_secret_key": SECRET}
    with running_server(tmp_path, **settings) as server:
        assert refused(server, s3_prefix="Invoices") == (422, "s3_prefix_not_allowed")
        assert server.get("/v1/models").json()["data"][0]["s3"]["prefixes"] is False
