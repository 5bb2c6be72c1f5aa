"""Every metric of the consumer loop, by its Prometheus name."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

__all__ = [
    "ASSIGNED_PARTITIONS",
    "COMMITS",
    "COMMIT_SECONDS",
    "DEAD_LETTERS",
    "EXPIRED",
    "HIDDEN_RECORDS",
    "LAG_RECORDS",
    "PROCESS_SECONDS",
    "RECORDS",
    "REMADE",
    "RESETS",
    "RETRIES",
]

RECORDS = Counter("tidegauge_loop_records_total", "Records processed.", ["group"])
DEAD_LETTERS = Counter(
    "tidegauge_loop_dead_letters_total", "Records put aside, by reason.", ["group", "reason"]
)
COMMITS = Counter("tidegauge_loop_commits_total", "Commits that became true.", ["group"])
RESETS = Counter(
    "tidegauge_loop_resets_total",
    "Commits that failed or may have: partitions went back to their last state.",
    ["group"],
)
RETRIES = Counter(
    "tidegauge_loop_retries_total",
    "Batches processed again since what they need was away.",
    ["group"],
)
ASSIGNED_PARTITIONS = Gauge(
    "tidegauge_loop_assigned_partitions", "Partitions that this worker holds.", ["group"]
)
LAG_RECORDS = Gauge(
    "tidegauge_loop_lag_records",
    "Records in the log that were not processed when last asked, hidden ones included.",
    ["group", "partition"],
)
HIDDEN_RECORDS = Gauge(
    "tidegauge_loop_hidden_records",
    "Records behind the start of an open transaction, which cannot be read before it ends.",
    ["group", "partition"],
)
EXPIRED = Counter(
    "tidegauge_loop_expired_records_total",
    "Records that the log deleted before they were read.",
    ["group", "partition"],
)
REMADE = Counter(
    "tidegauge_loop_topics_remade_total",
    "Times that a topic was found to be another one of the same name.",
    ["group", "partition"],
)
PROCESS_SECONDS = Histogram(
    "tidegauge_loop_process_seconds",
    "Time to process a batch.",
    ["group"],
    buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60),
)
COMMIT_SECONDS = Histogram(
    "tidegauge_loop_commit_seconds",
    "Time to commit.",
    ["group"],
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2, 10),
)
