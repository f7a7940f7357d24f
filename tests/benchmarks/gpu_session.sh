#!/usr/bin/env bash
# All that a CUDA device is needed for, in order of worth, each part with a time limit and a log of its own:
#     tests/benchmarks/gpu_session.sh FOLDER [SECONDS_IN_ALL]
# A part that fails or runs out of time is said, and the next one begins.
set -u
out=${1:?a folder for the logs}
ends=$((SECONDS + ${2:-1500}))
python=${PYTHON:-python3}
mkdir -p "$out"
part() { # name, most seconds, command ...
    local name=$1 most=$2 left=$((ends - SECONDS)) began=$SECONDS code
    shift 2
    [ "$left" -lt 10 ] && { echo "== $name: no time left"; return; }
    timeout -k 5 "$((left < most ? left : most))" "$@" >"$out/$name.log" 2>&1
    code=$?
    echo "== $name: exit $code after $((SECONDS - began)) s"
    tail -n "${LINES_EACH:-25}" "$out/$name.log"
}
export PYTHONUNBUFFERED=1 TOKENIZERS_PARALLELISM=false
part kernels 150 "$python" -m pytest -q -p no:cacheprovider -n0 -m gpu tests/siglino_core/models
part profile 60 "$python" -m tests.benchmarks.bench_gpu --no-record --only profile
part train 60 "$python" -m tests.benchmarks.bench_train_gpu --no-record --steps 5 --not-compiled --only "up to 256^2"
part training 150 "$python" -m pytest -q -p no:cacheprovider -n0 tests/pipelines/test_train.py
part rest 150 "$python" -m tests.benchmarks.bench_gpu --no-record --only teachers encode nearest
part student 120 "$python" -m tests.benchmarks.bench_student_gpu --no-record --tokens 16384 --repeats 5
part inference 120 "$python" -m tests.benchmarks.bench_gpu --no-record --only parity inference --repeats 3
part compiled 150 "$python" -m tests.benchmarks.bench_train_gpu --no-record --steps 3 --only "int8 targets, compiled"
