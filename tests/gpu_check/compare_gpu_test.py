"""The lines of tests/bench/compare_gpu.py, from figures of contenders that did not run."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "bench"))
import compare_gpu  # noqa: E402
import gpu_floor  # noqa: E402

MIB = 2**20


def ran(ms, **more):
    return dict({"ms_median": ms, "ms_min": ms - 1, "compile_ms": 500, "cold_ms": 9000, "kernels": [0] * 7, "graph_nodes": 9, "planned_bytes": 100 * MIB,
                 "peak": 120 * MIB}, **more)


cells = dict(zip(compare_gpu.COLUMNS, compare_gpu.row("gpt2-16", "bf16", "NVIDIA H200", False, ran(50), ran(40), ran(80), ran(60))))
assert cells == {
    "net": "gpt2-16", "precision": "bf16", "mezzo strict": "50.000 (49.000)", "mezzo excess": "40.000 (39.000)",
    "eager AMP": "80.000 (79.000)", "torch.compile": "60.000 (59.000)", "to eager": "0.50", "to compile": "0.67",
    "to the floor": "1.96", "kernels per step": "9", "compile s, cold / cached (torch's)": "9.0 / 0.5 (0.5)", "planned MiB": "100",
    "peak MiB (eager's)": "120 (120)"}, cells

# What failed, what was not asked, and an unknown card leave their cells empty.
cells = compare_gpu.row("lenet", "fp16", "Fake GPU", False, ran(2, peak=None), None, None, {})
assert cells == ["lenet", "fp16", "2.000 (1.000)", "failed", "failed", "", "", "", "", "9", "9.0 / 0.5", "100", ""], cells
assert gpu_floor.milliseconds("gpt2", 16, 1024, "NVIDIA GeForce") is None
for net, batch, sequence, floor in [("resnet50", 256, 1, 12.7), ("bert_base", 32, 128, 4.0), ("gpt2", 64, 1024, 78.8)]:
    assert abs(gpu_floor.milliseconds(net, batch, sequence, "NVIDIA H200") / floor - 1) < 0.01

# Every case builds its data for the names that its network has.
for case in compare_gpu.CASES:
    for small in (False, True):
        if small or case in ("mlp", "lenet", "bert_base-32"):
            data = compare_gpu.Sizes(case, small).batch_of_data()
            assert all(len(array) == compare_gpu.Sizes(case, small).batch for array in data.values())
print("ok")
