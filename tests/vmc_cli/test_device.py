import pytest
import torch

from vmc_cli import device
from vmc_cli.errors import UsageError


def test_some_device_is_always_found():
    assert device.choose_device().type in ("cpu", "cuda")
    assert device.choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["abacus", "cuda:99", ""])
def test_a_device_that_is_not_here_is_refused(name):
    with pytest.raises(UsageError, match="no device"):
        device.choose_device(name)


def test_the_number_format_multiplies_here():
    dtype = device.compute_dtype(torch.device("cpu"))
    ones = torch.ones(4, 4, dtype=dtype)
    assert torch.equal((ones @ ones).float(), torch.full((4, 4), 4.0))


def test_the_speed_that_is_measured_is_that_of_a_machine():
    assert 1e8 < device.speed(torch.device("cpu"), torch.float32) < 1e15


def test_a_cpu_without_bfloat16_computes_in_float32(monkeypatch):
    for probe in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, probe, lambda: False, raising=False)
    assert device.compute_dtype(torch.device("cpu")) is torch.float32


def test_a_seed_decides_every_number():
    draws = [torch.randn(5, generator=device.generator(seed)) for seed in (7, 7, 8)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def _allocate_a_petabyte():
    torch.empty(2**50, dtype=torch.uint8).fill_(1)


def _raise_cuda():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 TiB")


def _raise_python():
    raise MemoryError


@pytest.mark.parametrize("fail", [_allocate_a_petabyte, _raise_cuda, _raise_python])
def test_running_out_of_memory_is_told_from_other_errors(fail):
    with pytest.raises((MemoryError, RuntimeError)) as caught:
        fail()
    assert device.ran_out(caught.value)
    assert not device.ran_out(RuntimeError("shape mismatch"))


@pytest.fixture
def files(monkeypatch):
    """What the system says of its memory, by the name of the file."""
    said = {"meminfo": "MemTotal: 9 kB\nMemAvailable:    2048 kB\n"}
    monkeypatch.setattr(device, "_read", lambda path: said.get(path.name, ""))
    return said


def test_what_is_left_is_what_the_system_has(files):
    assert device.available_memory(torch.device("cpu")) == 2048 * 1024


def test_a_container_may_have_less_than_the_system(files):
    files |= {
        "memory.max": "1000000\n",
        "memory.current": "400000\n",
        "memory.stat": "file 9\ninactive_file 50000\n",
    }
    assert device.available_memory(torch.device("cpu")) == 650_000
    files["memory.max"] = "max\n"
    assert device.available_memory(torch.device("cpu")) == 2048 * 1024


def test_where_nothing_is_told_there_is_no_limit(files):
    files.clear()
    assert device.available_memory(torch.device("cpu")) == float("inf")
