"""Runs SavedModels in a process without Python's TensorFlow, by `serving.runtime.session`.

    python -m tests.serving.conformance.c_api job.json

The loader behind it is the one that TF Serving uses. The job names the models' folders and the
sizes of their states, a file of inputs, and one for the answers.
"""

from __future__ import annotations

import json
import pathlib
import sys

import numpy as np

from serving.runtime.session import Session


def stream(
    model: Session, sequence: np.ndarray, states: dict[str, np.ndarray], cuts: list[int]
) -> dict[str, np.ndarray]:
    """Reads a sequence in pieces; with no cuts, frame by frame."""
    logits = []
    pieces = np.split(sequence, cuts, axis=1) if cuts else [None] * sequence.shape[1]
    for time, piece in enumerate(pieces):
        if piece is None:
            answer = model.run("step", {"frame": sequence[:, time], **states})
            logits.append(answer["logits"][:, None])
        else:
            lengths = np.full(len(piece), piece.shape[1], np.int32)
            answer = model.run("chunk", {"sequence": piece, "lengths": lengths, **states})
            logits.append(answer["logits"])
        states = {name: answer[f"next_{name}"] for name in states}
    return {"logits": np.concatenate(logits, axis=1), **states}


def main(job_path: str) -> None:
    """Does a job."""
    job = json.loads(pathlib.Path(job_path).read_text())
    answers = {}
    with np.load(job["inputs"]) as inputs:
        for code, described in job["models"].items():
            model = Session(pathlib.Path(described["folder"]))
            for case in job["cases"]:
                sequence, lengths = inputs[f"{case}/sequence"], inputs[f"{case}/lengths"]
                zeros = {
                    name: np.zeros((len(sequence), width), np.float32)
                    for name, width in described["states"].items()
                }
                whole = {"sequence": inputs[f"{case}/padded"], "lengths": lengths}
                found = {
                    "whole": model.run("serving_default", whole),
                    "chunk": model.run("chunk", {**whole, **zeros}),
                    "chunks": stream(model, sequence, zeros, job["cuts"]),
                    "steps": stream(model, sequence, zeros, []),
                }
                for way, answer in found.items():
                    for name, value in answer.items():
                        answers[f"{code}/{case}/{way}/{name}"] = value
            model.close()
    assert not {"tensorflow", "keras", "zoo"} & set(sys.modules)
    np.savez(job["answers"], **answers)


if __name__ == "__main__":
    main(sys.argv[1])
