"""`kubectl apply`, a real kubelet, and the text of a real page through the Service."""

from __future__ import annotations

import contextlib
import json
import re

import boto3
import pytest
from botocore.config import Config
from rapidfuzz.distance import Levenshtein
from world import PAGES, Room

COLUMNS = ("NAME", "READY", "REASON", "REPLICAS", "MODEL", "INIT", "BUDGET", "URL", "AGE")


def error_rate(page: str, text: str) -> float:
    """Character errors per character of the ground truth, whitespace collapsed."""
    truth = " ".join((PAGES / page).with_suffix(".txt").read_text(encoding="utf-8").split())
    return Levenshtein.distance(truth, " ".join(text.split())) / len(truth)


def test_an_english_page_and_a_pdf_are_read_with_a_key_and_kept_in_s3(room: Room, s3) -> None:
    room.secret("keys", alice="a-key-of-some-length")
    room.secret(
        "s3-credentials",
        **{"access-key": s3["S3_ACCESS_KEY"], "secret-key": s3["S3_SECRET_KEY"]},
    )
    bucket = room.world.network.run(make_bucket, s3, room.namespace)
    room.apply(
        "invoices",
        {
            "model": {"name": "pp-ocr"},
            "auth": {"tokenSecretRef": {"name": "keys"}},
            "s3": {
                "endpoint": s3["S3_ENDPOINT"],
                "bucket": bucket,
                "prefix": "invoices/",
                "region": "us-east-1",
                "credentialsSecretRef": {"name": "s3-credentials"},
            },
        },
    )
    room.wait_ready("invoices")

    assert room.read("invoices", PAGES / "letter-en.png").status_code == 401
    assert room.read("invoices", PAGES / "letter-en.png", key="wrong").status_code == 401

    answer = room.read("invoices", PAGES / "letter-en.png", key="a-key-of-some-length")
    assert answer.status_code == 200, answer.text
    assert error_rate("letter-en.png", answer.json()["text"]) <= 0.01

    kept = answer.json()["s3"]
    stored = json.loads(room.world.network.run(fetch, s3, bucket, kept["key"]))
    assert kept["key"].startswith("invoices/")
    assert stored["result"]["text"] == answer.json()["text"]

    pdf = room.read("invoices", PAGES / "report-2p.pdf", key="a-key-of-some-length")
    assert [page["page"] for page in pdf.json()["pages"]] == [1, 2]
    assert error_rate("report-2p.pdf", pdf.json()["text"]) <= 0.01


def test_a_russian_page_is_read_by_tesseract_and_kept_on_a_volume(room: Room, claim) -> None:
    folder = claim(room, "results")
    room.apply(
        "archive",
        {
            "model": {"name": "tesseract", "languages": ["ru"]},
            "auth": {"mode": "None"},
            "output": {"persistentVolumeClaim": {"claimName": "results"}},
        },
    )
    room.wait_ready("archive")
    answer = room.read("archive", PAGES / "article-ru.png").json()
    assert error_rate("article-ru.png", answer["text"]) <= 0.01
    kept = json.loads((folder / answer["output"]["key"]).read_text())
    assert kept["result"]["text"] == answer["text"]


def test_the_service_answers_by_its_name_from_another_pod(room: Room) -> None:
    room.scripted("invoices", {"text": "by name"})
    url = room.wait_ready("invoices")["status"]["url"]
    assert url == f"http://invoices.{room.namespace}.svc:8081"
    script = f"import urllib.request as u; print(u.urlopen('{url}/health', timeout=5).status)"
    pod = room.pods("invoices")[0]["metadata"]["name"]
    assert room.kubectl("exec", pod, "--", "python3", "-c", script).strip() == "200"


def test_what_a_person_sees(room: Room) -> None:
    room.scripted("invoices", {"phases": [{"name": "load_model", "seconds": 1}]})
    room.wait_ready("invoices")

    header, row = room.kubectl("get", "ocr").strip().splitlines()
    assert header.split() == [*COLUMNS]
    cells = row.split()
    assert cells[:5] == ["invoices", "True", "Serving", "1/1", "scripted-1"]
    assert re.fullmatch(r"\d+s", cells[5])
    assert re.fullmatch(r"(\d+m)?(\d+s)?", cells[6])

    described = room.kubectl("describe", "ocrservice", "invoices")
    assert "Explanation:" in described
    print(header, row, described, sep="\n")

    events = re.findall(r"^ +(Normal|Warning) +(\S+)", described, re.M)
    assert 1 <= len(events) <= 3, described


def test_every_field_of_the_probes_is_explained(room: Room) -> None:
    text = room.kubectl("explain", "ocrservice.spec.probes", "--recursive=false")
    fields = re.findall(r"^  (\w+)\t<[^>]+>(.*)\n(?:  enum: .*\n)?((?:    .*\n)*)", text, re.M)
    assert {"mode", "startup", "liveness", "readiness", "minBudgetSeconds"} <= {
        f[0] for f in fields
    }
    for name, _, description in fields:
        assert len(description.split()) >= 4, f"{name} has no sentence:\n{text}"


@pytest.mark.parametrize("standard", ["restricted"])
def test_pods_run_under_the_pod_security_standard(room: Room, standard: str) -> None:
    room.scripted("invoices")
    room.wait_ready("invoices")
    pod = room.pods("invoices")[0]
    spec = pod["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    writing = "import pathlib; pathlib.Path('/app/x').write_text('x')"
    shown = room.kubectl(
        "exec", pod["metadata"]["name"], "--", "python3", "-c", writing, check=False
    )
    assert "Read-only file system" in shown


def client(s3: dict[str, str]):
    return boto3.client(
        "s3",
        endpoint_url=s3["S3_ENDPOINT"],
        aws_access_key_id=s3["S3_ACCESS_KEY"],
        aws_secret_access_key=s3["S3_SECRET_KEY"],
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}),
    )


def make_bucket(s3: dict[str, str], name: str) -> str:
    with contextlib.suppress(client(s3).exceptions.BucketAlreadyOwnedByYou):
        client(s3).create_bucket(Bucket=name)
    return name


def fetch(s3: dict[str, str], bucket: str, key: str) -> bytes:
    return client(s3).get_object(Bucket=bucket, Key=key)["Body"].read()
