import time

import torch

from tinycats.evaluation.latency import measure_latency

CPU = torch.device("cpu")


def test_warm_up_does_not_count_and_every_run_does():
    calls = []

    def slow_at_first() -> None:
        calls.append(1)
        time.sleep(0.2 if len(calls) <= 2 else 0.002)

    result = measure_latency(slow_at_first, batch_size=8, runs=5, device=CPU, warmup_runs=2)
    assert len(calls) == 7
    assert result["runs"] == 5
    assert 2 <= result["p50_ms"] <= result["p95_ms"] <= result["p99_ms"]
    assert result["p50_ms"] < 200
    assert result["images_per_second"] <= 8 / 0.002


def test_peak_memory_is_in_megabytes_of_what_was_held():
    def hold() -> None:
        torch.ones(50_000_000, dtype=torch.float32).sum()

    result = measure_latency(hold, batch_size=1, runs=3, device=CPU)
    assert 200 < result["peak_memory_mb"] < 8000


def test_percentiles_are_of_the_runs():
    delays = iter([0.0] * 3 + [0.001] * 19 + [0.05])

    def run() -> None:
        time.sleep(next(delays))

    result = measure_latency(run, batch_size=1, runs=20, device=CPU)
    assert result["p50_ms"] < 25 < result["p99_ms"]
