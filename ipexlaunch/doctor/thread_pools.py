"""Who starts threads in programs, by what each is known, and what sets how many: one table, docs/binding.md shows it.

The doctor, the launch (variables of the caller's shell) and the report (who crowds the cpus) all read it. Sources are
the pages of each library and program named in the table; what a file of a running process tells is seen with the
releases in docs/developing.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pool:
    """A library or program with threads (or processes) of its own."""

    name: str
    cure: str
    """What gives it as many threads as an instance has; "{n}" stands for their number."""
    variables: tuple[str, ...] = ()
    """Environment variables that hold the count."""
    limits: tuple[str, ...] = ()
    """... and those that hold a most."""
    files: str = ""
    """Names of the file (library or program) that its threads begin in, as a regular expression."""
    mapped: str = ""
    """Names of a file whose presence tells it, where its threads begin in the C++ library's code."""
    threads: str = ""
    """How the names of its threads begin."""
    tells_openmp: bool = False
    """Whether it works on OpenMP's threads and says how many, so that the option is its own."""


POOLS = (
    Pool(
        "OpenMP",
        "OMP_NUM_THREADS={n}, torch.set_num_threads({n}), num_threads or nthread of the library that uses it; "
        "where several processes have threads each, --env OMP_NUM_THREADS with fewer",
        ("OMP_NUM_THREADS",),
        limits=("OMP_THREAD_LIMIT",),
        files=r"lib(gomp|iomp5|omp)\b.*\.so.*",
        threads="OMP",
    ),
    Pool("MKL", "MKL_NUM_THREADS={n}", ("MKL_NUM_THREADS",), files=r"libmkl_.*"),
    Pool(
        "OpenBLAS",
        "OPENBLAS_NUM_THREADS={n}",
        ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS"),
        files=r"lib(scipy_)?openblas.*",
    ),
    Pool("BLIS", "BLIS_NUM_THREADS={n}", ("BLIS_NUM_THREADS",), files=r"libblis.*"),
    Pool("FlexiBLAS", "FLEXIBLAS_NUM_THREADS={n}", ("FLEXIBLAS_NUM_THREADS",)),
    Pool("Accelerate", "VECLIB_MAXIMUM_THREADS={n}", ("VECLIB_MAXIMUM_THREADS",)),
    Pool(
        "NumExpr",
        "NUMEXPR_NUM_THREADS={n}, numexpr.set_num_threads({n})",
        ("NUMEXPR_NUM_THREADS",),
        limits=("NUMEXPR_MAX_THREADS",),
        files=r"interpreter\..*\.so",
    ),
    Pool(
        "Numba",
        "NUMBA_NUM_THREADS={n}, numba.set_num_threads({n})",
        ("NUMBA_NUM_THREADS",),
        files=r"(workqueue|omppool|tbbpool)\..*\.so",
    ),
    Pool("Polars", "POLARS_MAX_THREADS={n}", ("POLARS_MAX_THREADS",), files=r"_?polars.*\.so", threads="polars"),
    Pool(
        "Rayon (Rust)",
        "RAYON_NUM_THREADS={n}",
        ("RAYON_NUM_THREADS", "RAYON_RS_NUM_CPUS"),
        threads="rayon",
        files=r"tokenizers.*\.so",
    ),
    Pool("Tokio (Rust)", "TOKIO_WORKER_THREADS={n}", ("TOKIO_WORKER_THREADS",), threads="tokio"),
    Pool("Go", "GOMAXPROCS={n}", ("GOMAXPROCS",)),
    Pool("Julia", "JULIA_NUM_THREADS={n}, julia --threads {n}", ("JULIA_NUM_THREADS",), files=r"(libjulia.*|julia)"),
    Pool(
        "oneTBB",
        "tbb::global_control(max_allowed_parallelism, {n}); it reads no variable of its own, but the affinity",
        ("TBB_NUM_THREADS",),
        files=r"libtbb(12|\.|malloc).*",
        threads="tbb",
    ),
    Pool("Apache Arrow", "pyarrow.set_cpu_count({n}); at its start it takes OMP_NUM_THREADS", mapped=r"libarrow\.so.*"),
    Pool(
        "DuckDB",
        "`SET threads = {n}`, or duckdb.connect(config={'threads': {n}})",
        mapped=r"(lib|_)?duckdb.*",
        files=r"(lib|_)?duckdb.*",
    ),
    Pool(
        "ONNX Runtime",
        "SessionOptions.intra_op_num_threads = {n}",
        mapped=r"(libonnxruntime|onnxruntime_pybind11_state).*",
        files=r"(libonnxruntime|onnxruntime_pybind11_state).*",
    ),
    Pool(
        "OpenVINO",
        "compile_model(..., {'INFERENCE_NUM_THREADS': {n}})",
        mapped=r"libopenvino\.so.*",
        files=r"libopenvino.*",
    ),
    Pool(
        "TensorFlow",
        "TF_NUM_INTRAOP_THREADS={n}, tf.config.threading",
        ("TF_NUM_INTRAOP_THREADS",),
        mapped=r"libtensorflow_(framework|cc).*",
        threads="tf_",
    ),
    Pool(
        "JAX",
        "XLA_FLAGS=--xla_cpu_multi_thread_eigen=false for one thread; else its process's affinity decides",
        mapped=r"(xla_extension|libjax_common|_jax).*\.so",
    ),
    Pool(
        "joblib and loky",
        "n_jobs={n}, or LOKY_MAX_CPU_COUNT={n}; --env OMP_NUM_THREADS=1 where each process has OpenMP threads",
        ("LOKY_MAX_CPU_COUNT",),
        threads="LokyProcess",
    ),
    Pool("Ray", "ray.init(num_cpus={n})", files=r"raylet|gcs_server", threads="ray::"),
    Pool(
        "Python's pools",
        "max_workers={n} or processes={n}; PYTHON_CPU_COUNT={n} from Python 3.13 on (before, os.cpu_count() is "
        "the host's)",
        ("PYTHON_CPU_COUNT",),
        files=r"(lib)?python\d.*",
    ),
    Pool(
        "Java",
        "-XX:ActiveProcessorCount={n}, also in JAVA_TOOL_OPTIONS",
        files=r"(java|libjvm.*|libjli.*)",
        mapped=r"libjvm\.so",
    ),
    Pool(
        "Node.js",
        "UV_THREADPOOL_SIZE={n} for its pool, --v8-pool-size={n} for its engine, fewer workers or processes",
        files=r"node(js)?",
    ),
    Pool(".NET", "DOTNET_PROCESSOR_COUNT={n}", ("DOTNET_PROCESSOR_COUNT",), mapped=r"libcoreclr\.so"),
    Pool("pigz", "pigz -p {n}", files=r"(un)?pigz"),
    Pool("zstd", "zstd -T{n}", files=r"(zstd|zstdmt|libzstd.*)"),
    Pool("xz", "xz -T{n}", files=r"(xz|xzcat|lzma|liblzma.*)"),
    Pool("lbzip2", "lbzip2 -n {n}", files=r"lb(un)?zip2"),
    Pool("pbzip2", "pbzip2 -p{n}", files=r"pbzip2"),
    Pool("plzip", "plzip -n {n}", files=r"plzip"),
    Pool("7-Zip", "7z -mmt={n}", files=r"7z[azr]?|7z\.so"),
    Pool(
        "FFmpeg",
        "ffmpeg -threads {n} (before -i for decoding, after it for encoding), -filter_threads {n}; for x265 "
        "-x265-params pools={n}",
        files=r"(ffmpeg|ffprobe|lib(avcodec|avfilter|x264|x265|SvtAv1)).*",
    ),
    Pool("openssl speed", "openssl speed -multi {n}", files=r"openssl"),
    Pool("sysbench", "sysbench --threads={n}", files=r"sysbench"),
    Pool("stress-ng", "stress-ng --cpu {n}", files=r"stress-ng"),
    Pool(
        "llama.cpp",
        "-t {n} -tb {n} (llama-bench: -t {n}), llama_cpp.Llama(n_threads={n}, n_threads_batch={n}); OMP_NUM_THREADS is "
        "nothing to it",
        ("LLAMA_ARG_THREADS",),
        files=r"(llama-.*|libllama.*|libggml.*)",
        mapped=r"(llama-.*|libllama.*|libggml.*)",
        tells_openmp=True,
    ),
    Pool(
        "CTranslate2",
        "intra_threads={n} where it is given at all, OMP_NUM_THREADS={n}",
        files=r"libctranslate2.*",
        mapped=r"libctranslate2.*",
        tells_openmp=True,
    ),
    Pool("ripgrep", "rg -j {n}", files=r"rg"),
    Pool("GNU sort", "sort --parallel={n}", files=r"sort"),
    Pool("make", "make -j{n}", files=r"g?make"),
    Pool("ninja", "ninja -j{n}", files=r"ninja"),
    Pool("samtools", "samtools -@ {n}", files=r"(samtools|libhts.*)"),
    Pool("GROMACS", "gmx mdrun -nt {n}", files=r"(gmx|libgromacs.*)"),
)
"""The more particular before the more general; a thread's own file and name decide before what else is mapped."""

USES_OPENMP_TOO = {"libtorch_cpu.so"}
"""Where it is mapped as well, the threads may be its, which has OpenMP's own options."""

BY_NAME = {pool.name: pool for pool in POOLS}

COUNTS = tuple(name for pool in POOLS for name in pool.variables)
"""Variables that hold a count of threads."""

LIMITS = tuple(name for pool in POOLS for name in pool.limits)


def pool_of_thread(begins_in: str, thread: str, program: str, mapped: Iterable[str]) -> str:
    """The pool that a thread belongs to; "" where nothing tells it.

    Args:
        begins_in: path of the file with the function that the thread began with; "" where not known.
        thread: its name.
        program: path of its process's program.
        mapped: paths of the files that are mapped into its process.
    """
    start, executable = (path.rpartition("/")[2] for path in (begins_in, program))
    named = [pool for pool in POOLS if pool.threads and thread.startswith(pool.threads)]
    own = [pool for pool in POOLS if pool.files and start and re.fullmatch(pool.files, start)]
    interpreter = [pool for pool in own if pool.name == "Python's pools"]  # a thread of Python's: who started it?
    names = {path.rpartition("/")[2] for path in mapped}
    users = [pool for pool in POOLS if pool.mapped and any(re.fullmatch(pool.mapped, name) for name in names)]
    if own and own[0].name == "oneTBB" and len(users) == 1:
        return users[0].name  # it has the threads, but the one library that uses it has the option
    if own and own[0].name == "OpenMP" and not names & USES_OPENMP_TOO:
        users_of_it = [pool for pool in users if pool.tells_openmp]
        return users_of_it[0].name if len(users_of_it) == 1 else own[0].name
    if named or [pool for pool in own if pool not in interpreter]:
        return (named or own)[0].name
    is_python = re.fullmatch(BY_NAME["Python's pools"].files, executable) is not None
    programs = [pool for pool in POOLS if pool.files and re.fullmatch(pool.files, executable)]
    if programs and not is_python:
        return programs[0].name
    if interpreter:
        return interpreter[0].name
    return users[0].name if len(users) == 1 else ""


def cure_of(name: str, threads: int) -> str:
    """What gives a pool so many threads; "" for one that is not in the table (an older or later report's)."""
    pool = BY_NAME.get(name)
    return pool.cure.replace("{n}", str(threads)) if pool is not None else ""
