#!/usr/bin/env python3
"""Every source has tests under its name, or a word here on what covers it; test files say what they test.

  tests/check_tests.py ROOT        ROOT: the repository

A source src/.../NAME.cpp has tests/test_NAME.cpp, tests/test_NAME.sh or tests/check_NAME.py. Cases of test_NAME.cpp
begin with "NAME: ", so that `rt_tests -tc=NAME*` finds them. No file of tests has more than 400 lines.
"""
import fnmatch, pathlib, re, sys

from repository import files

MOST_LINES = 400

# Sources without a test of their name: where they are tested. A pattern stands for files of one kind, each of which a
# test finds in a table.
COVERED = {
    # Rows and what they are made of: test_ops finds every row in the table and fails for one that no case reaches.
    "src/kernels/*_cpu.cpp": "test_ops compares with these, the references; test_gradcheck with differences",
    "src/kernels/*_simd.cpp": "test_ops runs every row of every instruction set",
    "src/kernels/*_cuda.cu": "test_cuda_rows runs every CUDA row",
    "src/kernels/*_table.cpp": "test_table and test_ops look at all rows",
    "src/kernels/cases/*_cases.cpp": "test_ops and test_gradcheck run every case",
    "src/kernels/cases/case_run.cpp": "test_ops and test_gradcheck run every case",
    "src/kernels/cases/cases.cpp": "test_ops and test_gradcheck run every case",
    "src/kernels/simd/rows.cpp": "test_ops runs its rows",
    "src/kernels/batch_norm/batch_norm_nhwc.cpp": "test_batch_norm",
    "src/kernels/elementwise/elementwise_rows.cpp": "test_elementwise",
    "src/kernels/pool/pool_nhwc.cpp": "test_pool",
    "src/kernels/linear/linear.cpp": "test_conv2d, as the same product",
    "src/kernels/linear/linear_rows.cpp": "test_conv2d, as the same product",
    "src/kernels/linear/widened.cpp": "test_conv2d and test_ops, in bf16",
    "src/kernels/conv2d/conv2d_rows.cpp": "test_conv2d",
    "src/kernels/conv2d/direct/*.cpp": "test_conv2d, on every shape of ResNet-18",
    "src/kernels/conv2d/winograd/*.cpp": "test_conv2d, on every shape of ResNet-18",
    "src/kernels/update/report.cpp": "test_step_io and test_control",
    "src/kernels/fusion.cpp": "test_ops and test_table look at all rules, test_executor leaves each one out",
    "src/kernels/flops.cpp": "test_bench counts a step's work",
    "src/kernels/peak.cpp": "test_bench",
    "src/kernels/defaults.cpp": "test_config_auto",
    "src/kernels/row_check.cpp": "test_cuda_rows compares by it, test_self_test that it refuses",
    # CUDA.
    "src/kernels/conv2d/cudnn/cudnn_api.cpp": "tests on a GPU; no NVIDIA library without one",
    "src/kernels/conv2d/cudnn/cudnn_graph_api.cpp": "tests on a GPU; no NVIDIA library without one",
    "src/kernels/linear/cublas_api.cpp": "tests on a GPU; no NVIDIA library without one",
    "src/core/cuda_runtime.cu": "tests on a GPU; tests/emulation stands in for it",
    "src/core/cuda_none.cpp": "check_info.py and check_verbs.sh, by the program without CUDA",
    "src/core/tensor.cpp": "test_ops and all others hold their numbers in it",
    "src/core/tensor_copy.cpp": "test_ops, where every comparison converts by it",
    "src/core/format.cpp": "every message",
    # Layers and data.
    "src/layers/model.cpp": "test_models",
    "src/layers/module.cpp": "test_layers",
    "src/layers/resnet.cpp": "test_models and test_parity",
    "src/layers/vgg.cpp": "test_models",
    "src/data/dataset.cpp": "test_cifar and test_survey_file, which stamp files",
    "src/data/preparation.cpp": "test_loader",
    "src/data/synth_draw.cpp": "test_synth",
    # The program.
    "src/train/config/config_read.cpp": "test_config",
    "src/train/config/toml_depth.cpp": "test_config",
    "src/train/files/safetensors_header.cpp": "test_safetensors",
    "src/train/fingerprint.cpp": "test_trainer and check_resume.py",
    "src/train/run_length.cpp": "test_trainer",
    "src/train/train.cpp": "check_resume.py",
    "tools/train.cpp": "check_resume.py and check_verbs.sh",
    "tools/rtrain.cpp": "check_verbs.sh",
    # Benchmarks judge no time in tests.
    "bench/onednn.cpp": "by hand, where oneDNN is installed: rbench ops --peer onednn",
    "bench/*.cpp": "test_bench for what it counts, check_bench.py for what it prints",
}

# Test files about more than one source.
SUBJECTS = {
    "loader_stop": "the loader, asked to stop while a sample takes long",
    "ops": "every row on every case",
    "passes": "every pass of a plan on every case",
    "parity": "PyTorch",
    "bench": "bench/",
    "cuda_ahead": "a host ahead of the device",
    "cuda_nan": "CUDA rows",
    "cuda_rows": "CUDA rows",
    "cuda_step": "steps on CUDA",
    "cudnn_self_test": "self_test.cpp with cuDNN",
    "get_cifar10": "tools/get_cifar10.sh",
}


def names_of(tests):
    return {m.group(1) for t in tests if (m := re.fullmatch(r"(?:test|check)_(\w+)\.(?:cpp|sh|py)", t.name))}


def sources_without_test(sources, tested):
    used = set()
    for source in sources:
        if source.stem in tested:
            continue
        pattern = next((p for p in COVERED if fnmatch.fnmatch(str(source), p)), None)
        if pattern is None:
            yield (f"{source} has no tests/test_{source.stem}.cpp; "
                   "write it, or say in tests/check_tests.py what covers it")
        used.add(pattern)
    for pattern in COVERED.keys() - used:
        yield f"tests/check_tests.py: {pattern} is no source without a test of its name; remove the line"


def files_of_no_source(tests, stems):  # of sources and headers
    for test in tests:
        match = re.fullmatch(r"test_(\w+)\.(?:cpp|sh)", test.name)
        if match and match.group(1) not in stems | SUBJECTS.keys():
            yield f"{test}: there is no source {match.group(1)}; name the file after what it tests"
    for name in SUBJECTS.keys() - names_of(tests):
        yield f"tests/check_tests.py: there is no test_{name}; remove its line"


def wrong_cases(root, tests):
    for test in tests:
        if not (match := re.fullmatch(r"test_(\w+)\.cpp", test.name)):
            continue
        for case in re.findall(r'TEST_CASE\(\s*(.*)', (root / test).read_text()):
            if not case.startswith(f'"{match.group(1)}: '):
                yield f'{test}: the case {case[:60]} does not begin with "{match.group(1)}: "'


def long_files(root, tests):
    for test in tests:
        lines = len((root / test).read_text(errors="replace").splitlines())
        if test.suffix not in {".safetensors"} and lines > MOST_LINES:
            yield f"{test} has {lines} lines, {MOST_LINES} are allowed: split it by subject"


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    known = files(root)
    sources = [f for f in known if f.parts[0] in {"src", "tools", "bench"} and f.suffix in {".cpp", ".cu"}]
    stems = {f.stem for f in known if f.parts[0] in {"src", "tools", "bench"}}
    tests = [f for f in known if f.parts[0] == "tests"]
    bad = [*sources_without_test(sources, names_of(tests)), *files_of_no_source(tests, stems),
           *wrong_cases(root, tests), *long_files(root, tests)]
    print("\n".join(bad) or f"{len(sources)} sources have tests")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
