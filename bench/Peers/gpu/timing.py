"""Device times as the project's own bench takes them: medians, the L2 cache overwritten before every repeat."""
import statistics
import time

import torch


def flush_buffer(device):
    """Twice the L2 cache, to be overwritten between repeats."""
    if device.type != "cuda":
        return None
    bytes_ = 2 * torch.cuda.get_device_properties(device).L2_cache_size
    return torch.empty(max(bytes_, 1 << 20), dtype=torch.int8, device=device)


def median_ms(work, device, repeats, buffer):
    """Median milliseconds of work() and the spread (upper less lower quartile, over the median)."""
    for _ in range(3):
        work()
    times = []
    for _ in range(repeats):
        if buffer is not None:
            buffer.zero_()
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            work()
            end.record()
            end.synchronize()
            times.append(start.elapsed_time(end))
        else:
            begin = time.perf_counter()
            work()
            times.append(1e3 * (time.perf_counter() - begin))
    times.sort()
    middle = statistics.median(times)
    return middle, (times[len(times) * 3 // 4] - times[len(times) // 4]) / middle if middle else 0.0


def versions(device):
    """What the figures were made with."""
    found = {"torch": torch.__version__, "cuda": torch.version.cuda}
    if device.type == "cuda":
        found["device"] = torch.cuda.get_device_name(device)
    for name in ("peft", "triton", "transformers"):
        try:
            found[name] = __import__(name).__version__
        except ImportError:
            found[name] = None
    return found
