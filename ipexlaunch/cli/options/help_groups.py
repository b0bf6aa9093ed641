"""Under which heading of --help each option stands: first what everybody uses, then by what it is about."""

from __future__ import annotations

from collections.abc import Mapping

EVERYBODY = {
    "run": "ninstances ncores_per_instance reserve_cores dry_run run_dir report_file live timeout",
    "batch": "input_file output_file model ninstances reserve_cores resume retry_dead run_dir",
    "shards make": "input_file output_file shards hosts load_time model ninstances reserve_cores",
    "serve start": "endpoint ready_when preset ninstances reserve_cores no_python port run_dir live",
    "loadgen": "scenario qps input_file model ninstances report_file",
    "bench": "model ninstances reserve_cores batch_size input_tokens duration report_file run_dir",
    "tune": "model budget ninstances reserve_cores batch_sizes batch_size_option seconds_option write_plan",
    "dtypes": "model ninstances batch_size input_tokens pythons form",
    "plan": "source ninstances ncores_per_instance reserve_cores form explain export",
}
"""Command to the options that most people use; a command that is not here has one list without headings."""

HEADINGS = {
    "Instances and cores": (
        "ninstances ncores_per_instance reserve_cores cores_list nodes_list use_logical_cores use_e_cores greedy "
        "groups strategy scope goal workload latency_mode throughput_mode instance_idx plan_file any_machine topology "
        "profile device accelerators dry_run"
    ),
    "Memory": (
        "memory_per_instance_bytes memory memory_policy strict local_pages memory_allocator omp_runtime share_start "
        "share_start_strict"
    ),
    "Input": (
        "input_file input_format id_field text_field tokens_field delimiter quote max_line_mb on_bad_line batch_size "
        "batch_tokens look_ahead"
    ),
    "Results": "output_file output_format errors_file keep_order overwrite resume rebuild retry_dead take_over",
    "Shards": "shards hosts load_time rate",
    "Several hosts": "across_hosts host_rank host_count rendezvous job_id rendezvous_ports join_timeout",
    "Servers": "ready_when probe_interval probe_timeout probe_failures drain_timeout preset",
    "Endpoint": "endpoint balance proxy proxy_cores affinity_header write_proxy",
    "Program": "python pythons module no_python env port throughput_regex count_calls warmup_calls replay",
    "Model": (
        "model task engine dtype batch_size text input_tokens new_tokens seed quantization group_size lowp_mode "
        "checkpoint auto_ipex disable_ipex_graph_mode auto_ipex_verbose force_dtype min_cosine no_check cache_dir "
        "cache_limit no_cache"
    ),
    "Measuring": (
        "duration seconds warmup baseline lost_time proof_interval min_duration min_queries target_latency_ms "
        "latency_limit_ms exhaustive fresh"
    ),
    "Output and logs": (
        "report_file run_dir live no_progress log_dir log_file_prefix log_max_mb loadgen_log_dir timestamps "
        "metrics_port metrics_address metrics_file form explain check_file compare export export_dir job_hosts"
    ),
    "Failures and time limits": (
        "on_failure attempts timeout ready_timeout compile_timeout stall_timeout grace stagger drain_on_term"
    ),
    "Expert": "confine fix_pinning multi_task_manager benchmark bind_numa_node skip_cross_node_cores",
}
"""Heading to its options, in the order of --help; an option that everybody uses stands above, and only there."""

EXAMPLES = {
    "run": (
        "ipexlaunch --ninstances 4 script.py --script-arg 1",
        "ipexlaunch --ninstances 4 --dry-run script.py",
        "ipexlaunch --ninstances 4 --reserve-cores 2 --run-dir runs/monday -m package.module",
        "ipexlaunch --across-hosts --run-dir runs/x --ninstances 4 script.py     # one on each host, by srun or mpirun",
    ),
    "batch": (
        "ipexlaunch batch --input corpus.txt --output vectors.parquet --model ./all-MiniLM-L6-v2",
        "ipexlaunch batch --input items.jsonl --output results.jsonl script.py",
        "ipexlaunch batch --input items.jsonl --output results.jsonl --resume script.py",
    ),
    "shards": (
        "ipexlaunch shards make job --input items.jsonl --output results.jsonl --shards 24 script.py",
        "ipexlaunch shards run job --index 3     # by the engine, for each of 0 to 23, on any host",
        "ipexlaunch shards status job",
        "ipexlaunch shards merge job",
    ),
    "shards make": (
        "ipexlaunch shards make job --input items.jsonl --output results.jsonl --shards 24 script.py",
        "ipexlaunch shards make job --input corpus.txt --hosts 6 --load-time 9 --model ./all-MiniLM-L6-v2",
    ),
    "shards submit": (
        "ipexlaunch shards submit job --engine slurm --engine-option partition=cpu --engine-option time=4:00:00",
        "ipexlaunch shards submit job --engine slurm --print",
        "ipexlaunch shards submit job --engine ray",
    ),
    "serve": (
        "ipexlaunch serve --endpoint 127.0.0.1:8000 --ready-when http://127.0.0.1:{port}/health app.py --port {port}",
        "ipexlaunch serve status",
        "ipexlaunch serve reload",
    ),
    "serve start": (
        "ipexlaunch serve --endpoint 127.0.0.1:8000 --ready-when http://127.0.0.1:{port}/health app.py --port {port}",
        "ipexlaunch serve --endpoint 127.0.0.1:8000 --preset llama-server llama-server -m model.gguf",
        "ipexlaunch serve --no-python --ready-when output:listening ./server {port}",
    ),
    "loadgen": ("ipexlaunch loadgen --scenario Offline --qps 200 --input corpus.txt --model ./all-MiniLM-L6-v2",),
    "bench": (
        "ipexlaunch bench --model ./all-MiniLM-L6-v2",
        "ipexlaunch bench --ninstances 2 --model random:llama-160m --engine torch --dtype bf16",
    ),
    "tune": (
        "ipexlaunch tune --model ./all-MiniLM-L6-v2",
        "ipexlaunch tune --budget 5m --batch-sizes 1,8 script.py --batch {batch_size} --seconds {seconds}",
    ),
    "dtypes": ("ipexlaunch dtypes", "ipexlaunch dtypes --model ./all-MiniLM-L6-v2 --python venv/bin/python"),
    "plan": (
        "ipexlaunch plan --ninstances 4",
        'ipexlaunch plan --topology "2s 2n 28c 2t" --ninstances 8 --explain',
        "ipexlaunch plan --ninstances 4 --export slurm script.py > job.sh",
    ),
    "topology": ("ipexlaunch topology --format drawing", 'ipexlaunch topology --topology "2s 2n 28c 2t"'),
    "report": (
        "ipexlaunch report runs/monday",
        "ipexlaunch report runs/4x14-* runs/8x7-* --html comparison.html",
        "ipexlaunch report tuning.json --html map.html",
    ),
    "top": ("ipexlaunch top", "ipexlaunch top --format json"),
    "completion": (
        'eval "$(ipexlaunch completion bash)"     # in ~/.bashrc',
        'eval "$(ipexlaunch completion zsh)"      # in ~/.zshrc',
        "ipexlaunch completion fish > ~/.config/fish/completions/ipexlaunch.fish",
    ),
    "doctor": ("ipexlaunch doctor", "ipexlaunch doctor --fail-on problem --format json"),
}
"""Command to lines that one can type."""

OTHERS = "Others"
"""The heading of what stands under none, which a test keeps empty."""


def grouped(command: str, names: list[str]) -> Mapping[str, list[str]]:
    """The options of a command under their headings, those without any left out.

    Args:
        command: its name.
        names: of its options' keyword arguments, as they were declared.
    """
    if command not in EVERYBODY:
        return {"Options": names} if names else {}
    left, found = dict.fromkeys(names), dict[str, list[str]]()
    for heading, listed in {"Most used": EVERYBODY[command], **HEADINGS}.items():
        here = [name for name in listed.split() if name in left]
        for name in here:
            del left[name]
        found[heading] = here
    found[OTHERS] = list(left)
    return {heading: here for heading, here in found.items() if here}
