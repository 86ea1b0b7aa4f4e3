"""GPU figures in `/metrics`, from a stand-in for the driver's library in C: no GPU is here."""

from __future__ import annotations

import subprocess
from pathlib import Path
from shutil import which

import pytest
from debian import debian_packages
from ocr_server import running_server

NVML = """
#include <stdio.h>
#include <string.h>
typedef struct { unsigned long long total, free, used; } memory;
typedef struct { unsigned int gpu, memory; } utilization;
static int asked;
int nvmlInitWithFlags(unsigned int flags) { return 0; }
int nvmlInit_v2(void) { return 0; }
const char *nvmlErrorString(int code) { return "lost"; }
int nvmlDeviceGetCount_v2(unsigned int *count) {
  *count = 2;
  if (++asked <= LIFE) return 0;
  fprintf(stderr, "nobody is there\\n"); return 15;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **handle) {
  *handle = (void *)(long)(index + 1); return 0;
}
int nvmlDeviceGetName(void *handle, char *name, unsigned int size) {
  strncpy(name, "NVIDIA Paper", size); return 0;
}
int nvmlDeviceGetMemoryInfo(void *handle, memory *m) {
  m->total = 1000; m->used = 100 * (long)handle; m->free = m->total - m->used; return 0;
}
int nvmlDeviceGetUtilizationRates(void *handle, utilization *u) {
  if ((long)handle == DIVIDED) return 3;
  u->gpu = 25 * (long)handle; u->memory = 0; return 0;
}
"""


def driver(folder: Path, life: int, divided: int = 0) -> str:
    """A folder with a library that answers `life` times, then says that the GPU is lost; of the
    GPU `divided`, from 1, it does not support to say how busy it is, as with MIG."""
    source = folder / "nvml.c"
    source.write_text(NVML)
    library = folder / "libnvidia-ml.so.1"
    if which("gcc") is None:
        debian_packages("gcc", "libc6-dev")
    numbers = [f"-DLIFE={life}", f"-DDIVIDED={divided}"]
    subprocess.run(
        ["gcc", "-shared", "-fPIC", *numbers, "-o", str(library), str(source)], check=True
    )
    return str(folder)


def test_memory_and_utilisation_of_each_gpu_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", driver(tmp_path, life=1000))
    with running_server(tmp_path / "server") as server:
        labels = '{gpu="1",name="NVIDIA Paper"}'
        server.wait_for(lambda: server.metric(f"ocr_gpu_memory_used_bytes{labels}") == 200)
        assert server.metric(f"ocr_gpu_memory_total_bytes{labels}") == 1000
        assert server.metric(f"ocr_gpu_utilization_ratio{labels}") == 0.5
        assert server.metric('ocr_gpu_utilization_ratio{gpu="0"') == 0.25


def test_a_divided_gpu_has_its_memory_and_no_utilisation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", driver(tmp_path, life=1000, divided=1))
    with running_server(tmp_path / "server") as server:
        first, second = (f'{{gpu="{index}",name="NVIDIA Paper"}}' for index in range(2))
        server.wait_for(lambda: server.metric(f"ocr_gpu_utilization_ratio{second}") == 0.5)
        assert server.metric(f"ocr_gpu_memory_used_bytes{first}") == 100
        assert f"ocr_gpu_utilization_ratio{first}" not in server.get("/metrics").text
        assert "the GPU cannot be asked" not in server.log


def test_a_lost_gpu_is_not_shown_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", driver(tmp_path, life=1))
    with running_server(tmp_path / "server") as server:
        server.wait_for(lambda: server.log.count("nobody is there") == 2, 20)
        assert server.log.count("the GPU cannot be asked") == 1
        assert "ocr_gpu_memory_used_bytes{" not in server.get("/metrics").text
        assert server.get("/livez").status_code == 200


def test_without_a_driver_nothing_is_shown(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        assert "ocr_gpu" not in server.get("/metrics").text
