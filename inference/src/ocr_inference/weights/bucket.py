"""Weights in an S3 bucket: listed by boto3, downloaded by signed addresses as any other file."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from ocr_inference.s3 import read_credentials, s3_client
from ocr_inference.settings import Settings
from ocr_inference.weights.download import Downloader
from ocr_inference.weights.remote import (
    SUMS,
    Digest,
    FetchExit,
    FetchFailed,
    RemoteFile,
    parse_sums,
)

_SIGNED_S = 12 * 3600
_MD5 = re.compile(r"[0-9a-f]{32}")
_CONNECT_S, _READ_S = 5, 20


def bucket_files(source: str, settings: Settings, downloader: Downloader) -> list[RemoteFile]:
    """The object that `s3://bucket/key` names, or all below it. Raises `FetchFailed`."""
    bucket, _, key = source.removeprefix("s3://").partition("/")
    if not bucket:
        raise FetchFailed(FetchExit.USAGE, "A place in S3 is s3://bucket/prefix.")

    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    try:
        client = s3_client(
            settings, read_credentials(settings), connect_s=_CONNECT_S, read_s=_READ_S
        )
        files = [
            _file(client, bucket, name, found)
            for name, found in sorted(_objects(client, bucket, key).items())
        ]
    except NoCredentialsError as error:
        raise FetchFailed(
            FetchExit.USAGE,
            "There are no S3 credentials: set OCR_S3_ACCESS_KEY and OCR_S3_SECRET_KEY, "
            "OCR_S3_CREDENTIALS_DIR, or what boto3 reads.",
        ) from error
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        code = FetchExit.UNREACHABLE if status >= 500 else FetchExit.REFUSED
        what = error.response.get("Error", {}).get("Code", status)
        raise FetchFailed(code, f"s3://{bucket}/{key}: the endpoint answers {what}.") from error
    except (BotoCoreError, ValueError) as error:
        raise FetchFailed(
            FetchExit.UNREACHABLE, f"s3://{bucket}/{key}: {type(error).__name__}."
        ) from error
    if not files:
        raise FetchFailed(FetchExit.REFUSED, f"s3://{bucket}/{key}: nothing is there.")
    return _by_sums(files, downloader)


def _objects(client: Any, bucket: str, key: str) -> dict[PurePosixPath, dict[str, Any]]:
    """What is listed, by its name below the prefix."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
    found = {entry["Key"]: entry for page in pages for entry in page.get("Contents", ())}
    if key in found and not key.endswith("/"):
        return {PurePosixPath(key).relative_to(PurePosixPath(key).parent): found[key]}
    folder = key if not key or key.endswith("/") else f"{key}/"
    return {
        PurePosixPath(name.removeprefix(folder)): entry
        for name, entry in found.items()
        if name.startswith(folder) and not name.endswith("/")
    }


def _file(client: Any, bucket: str, name: PurePosixPath, entry: dict[str, Any]) -> RemoteFile:
    place = {"Bucket": bucket, "Key": entry["Key"]}
    about = client.head_object(**place, ChecksumMode="ENABLED")
    url = client.generate_presigned_url("get_object", Params=place, ExpiresIn=_SIGNED_S)
    return RemoteFile(name, url, about["ContentLength"], _digest(about))


def _digest(about: dict[str, Any]) -> Digest | None:
    """The SHA-256 where one was stored, else the ETag where that is an MD5: not for an object that
    was uploaded in parts, nor for one encrypted with a key of its own."""
    try:
        sha256 = base64.b64decode(about.get("ChecksumSHA256", ""), validate=True)
    except binascii.Error:  # one of parts: "…-3"
        sha256 = b""
    if len(sha256) == 32:
        return Digest("sha256", sha256.hex())
    etag = about["ETag"].strip('"')
    encrypted = str(about.get("ServerSideEncryption", "")).startswith("aws:kms")
    return Digest("md5", etag) if _MD5.fullmatch(etag) and not encrypted else None


def _by_sums(files: list[RemoteFile], downloader: Downloader) -> list[RemoteFile]:
    """With the checksums of the `SHA256SUMS` among them, if there is one."""
    listed = [file for file in files if str(file.name) == SUMS]
    if not listed or len(files) == 1:
        return files
    sums = parse_sums(downloader.text(listed[0].url) or "")
    missing = set(sums) - {file.name for file in files}
    if missing:
        raise FetchFailed(
            FetchExit.REFUSED, f"SHA256SUMS lists {min(missing)}, which is not in the bucket."
        )
    return [
        replace(file, digest=sums.get(file.name, file.digest))
        for file in files
        if file not in listed
    ]
