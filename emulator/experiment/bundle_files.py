"""What the files of a bundle are called, and what its README says of them."""

from __future__ import annotations

from emulator.experiment.samples import COLUMNS

RUN, MACHINE, SUMMARY = "run.json", "machine.json", "summary.json"
CERTIFICATES = "certificates.json"
RESOURCES = "resources.csv"
TOOLS = "tools"
README, PICTURE, SAMPLES = "README.txt", "latency-cdf.png", "samples"
PAGE = "report.html"


def readme() -> str:
    """The text of the README."""
    columns = "\n".join(
        f"  {name:<13} {f'[{unit}]':<5} {meaning}" for name, (unit, meaning) in COLUMNS.items()
    )
    return f"""One run of a bench, with everything that its numbers rest on.

{SUMMARY:<17} every number of the report, per case; null: not measured, or not supported by the
                  sample
{PICTURE:<17} the one-way latency of all cases as cumulative distributions
{RUN:<17} command line, specification, seed, order of the cases, start and end, revision
{MACHINE:<17} kernel, processor, governor, clock source, memory, versions
{RESOURCES:<17} what each trial took of the machine: CPU time, memory, waiting, and more
{CERTIFICATES:<17} where links are impaired: what each was measured to do, before all traffic
{TOOLS + "/":<17} where other tools were run: all that they said
plan-CASE.json    the network of a case: every name, address, MAC and port
{PAGE:<17} the report, once vnf report was asked for it: the answer in words, figures, evidence
{SAMPLES + "/":<17} one Parquet file per latency trial, CASE-TRIAL.parquet; a row for every
                  packet of the schedule:

{columns}

Times are CLOCK_MONOTONIC of the one kernel that all nodes share, so one-way latency is exact:
received_ns - intended_ns of every row whose received_ns is not 0. Nothing in the samples was
altered or left out. Links are veth pairs: compare these numbers with others of this machine, never
with those of a network card.

vnf report makes a page of it to read, vnf compare sets it beside another one, and vnf replay
measures all of it again. In Python:

  from emulator import load_bundle
  bundle = load_bundle("this folder")
  bundle.summary.cases[0].latency.p99_ns
  bundle.samples("dataplane=xdp", 1)["received_ns"]
"""
