"""Runs the jobs of the stages where `compute` says."""

from __future__ import annotations

from tinycats.runtime.compute.job import Job, run_here
from tinycats.runtime.compute_params import LocalCompute, ModalCompute


def run(compute: LocalCompute | ModalCompute, job: Job) -> None:
    """Run the job here, or on Modal where the stage has a machine there. Raises UserError where that fails."""
    if isinstance(compute, ModalCompute) and job.stage in compute.machines:
        from tinycats.runtime.compute.modal_backend import run_on_modal  # modal takes a while to import

        run_on_modal(compute, job)
    else:
        run_here(job)
