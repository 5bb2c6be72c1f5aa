from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.metadata import version
from pathlib import Path

import msgspec
import pytest

ROOT = Path(__file__).parents[2]
PORTIONS = ("tidegauge.schemas", "tidegauge.streaming.processor", "tidegauge.cli.main")
DATA = (
    "tidegauge/demo/topics.toml",
    "tidegauge/demo/vllm_constraints.txt",
)


class Environment:
    """A fresh virtual environment that sees this one's libraries, but not its tidegauge."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=False, symlinks=True)
        self.python = folder / "bin" / "python"
        (site,) = folder.glob("lib/python*/site-packages")
        # Libraries only: a .pth file found by way of another is not read, so this
        # environment's editable tidegauge stays out.
        (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
        self.site = site

    def install(self, *arguments: str) -> None:
        command = (sys.executable, "-m", "pip", "--disable-pip-version-check")
        subprocess.run(
            [
                *command,
                *("--python", str(self.python)),
                *("install", "-qq", "--no-deps", "--no-build-isolation", "--force-reinstall"),
                *arguments,
            ],
            check=True,
            cwd=ROOT,
            capture_output=True,
        )

    def run(self, *arguments: str) -> str:
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            [str(self.python), *arguments],
            check=True,
            capture_output=True,
            text=True,
            env=clean,
            cwd=self.site,
        )
        return done.stdout

    def check(self) -> str:
        """Import all three portions, run the command, and return where schemas came from."""
        code = (
            f"import importlib\nfor name in {PORTIONS!r}:\n    importlib.import_module(name)\n"
            "import tidegauge.schemas; print(tidegauge.schemas.__file__)"
        )
        where = self.run("-c", code).strip()
        said = self.run(str(self.python.with_name("tidegauge")), "--version")
        assert said.strip() == f"tidegauge {version('tidegauge')}"
        return where


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), "."],
        check=True,
        cwd=ROOT,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment(tmp_path / "venv")


def test_the_wheel_holds_all_three_portions_and_their_data(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"{name.replace('.', '/')}.py" for name in PORTIONS[1:]} <= names
    assert "tidegauge/schemas/__init__.py" in names
    assert set(DATA) <= names
    assert "tidegauge/__init__.py" not in names
    assert not [name for name in names if name.startswith(("tests", "infra"))]


def test_every_package_says_that_it_is_typed(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    packages = {
        name.split("/")[1] for name in names if name.count("/") > 1 and ".dist-info" not in name
    }
    assert {f"tidegauge/{package}/py.typed" for package in packages} <= names


def test_the_wheel_has_everything_that_the_sources_have(wheel: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "schemas", "pipelines", "services"],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    sources = {
        line.partition("/")[2] for line in listed.stdout.splitlines() if (ROOT / line).exists()
    }
    assert sources <= set(zipfile.ZipFile(wheel).namelist())


def test_a_wheel_can_be_installed(wheel: Path, environment: Environment) -> None:
    environment.install(str(wheel))
    assert environment.check().startswith(str(environment.site))


def test_the_sources_can_be_installed(environment: Environment) -> None:
    environment.install(".")
    assert environment.check().startswith(str(environment.site))


def test_an_editable_installation_runs_the_sources(environment: Environment) -> None:
    environment.install("--editable", ".")
    assert environment.check().startswith(str(ROOT / "schemas"))


def test_without_the_services_extra_the_command_says_what_to_install(
    wheel: Path, environment: Environment
) -> None:
    environment.install(str(wheel))
    (environment.site / "libraries.pth").unlink()
    (environment.site / "msgspec").symlink_to(Path(msgspec.__file__).parent)
    done = subprocess.run(
        [str(environment.python.with_name("tidegauge")), "--version"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "needs typer: pip install 'tidegauge[service]'" in done.stderr
    assert "Traceback" not in done.stderr
