"""Every recipe of the project; `uv run --only-group nox nox -l` lists them."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import nox
import nox_uv

nox.options.default_venv_backend = "uv"
nox.options.sessions = ["test"]
nox.options.reuse_existing_virtualenvs = True

ROOT = Path(__file__).parent
PACKAGES = sorted(path.parent.name for path in ROOT.glob("packages/*/pyproject.toml"))
# ctd-contract's tests cover what its extras switch on; the others are tested as a plain install brings them.
EXTRAS = {"ctd-contract": ["mat", "command", "torch"]}
# Packages with tests that need a GPU, and what they need besides to compute on one.
ON_GPU = {"ctd-contract": [], "ctd-models-jax": ["cuda13"]}
# Markers of tests that have a session of their own.
APART = {"ctd-analysis": ["browser"], "ctd-contract": ["fuzz"], "ctd-models-torch": ["ray"]}
MINIMUMS_IN_CI = ["ctd-contract", "ctd-analysis"]
# Tests start many commands: where a machine keeps no bytecode, each compiles its libraries for half a minute.
KEEP_BYTECODE = {"PYTHONDONTWRITEBYTECODE": None}


def build_wheels(session: nox.Session, *packages: str) -> list[str]:
    """Build the packages' wheels into the session's temporary folder."""
    folder = Path(session.create_tmp()) / "wheels"
    shutil.rmtree(folder, ignore_errors=True)
    for package in packages:
        session.run("uv", "build", "-q", "--wheel", "--package", package, "-o", str(folder), external=True)
    return [str(path) for path in sorted(folder.glob("*.whl"))]


def install_alone(session: nox.Session, package: str, *more: str) -> None:
    """Install a package's wheel, ctd-contract's, and what it and further extras declare, as locked."""
    requirements = Path(session.create_tmp()) / "requirements.txt"
    extras = [f"--extra={extra}" for extra in [*EXTRAS.get(package, []), *more]]
    export = ["uv", "export", "-q", "--frozen", "--package", package, "--group=test", "--no-emit-workspace"]
    session.run(*export, *extras, "--no-hashes", "-o", str(requirements), external=True, silent=True)
    session.install("-r", str(requirements))
    session.install("--no-deps", "--reinstall", *build_wheels(session, *{"ctd-contract", package}))


def without(package: str, *markers: str) -> list[str]:
    """Arguments that leave out the marked tests and those of other sessions, two at a time."""
    return ["-m", " and ".join(f"not {marker}" for marker in [*markers, *APART.get(package, [])]), "-n", "2"]


def run_tests(session: nox.Session, package: str, *arguments: str) -> None:
    """Run a package's tests from a folder from which its sources can't be imported by accident."""
    folder = ROOT / "packages" / package
    with session.chdir(session.create_tmp()):
        session.run(
            *("python", "-m", "pytest", "-c", str(folder / "pyproject.toml"), f"--rootdir={folder}"),
            *("-o", "cache_dir=.cache", *arguments, *(session.posargs or [str(folder / "tests")])),
            # Ray starts no workers where its files would lie in the environment that they run in.
            env={
                "OMP_NUM_THREADS": "1",
                "MPLBACKEND": "agg",
                "RAY_TMPDIR": tempfile.gettempdir(),
                **KEEP_BYTECODE,
            },
        )


@nox.session
@nox.parametrize("package", [*PACKAGES, "together"], ids=[*PACKAGES, "together"])
def test(session: nox.Session, package: str) -> None:
    """Test each package in an environment of its own, then all together; in CI also lint and minimums."""
    if package == "together":
        together(session)
    else:
        install_alone(session, package)
        run_tests(session, package, *without(package, "gpu"))


def together(session: nox.Session) -> None:
    """Install the whole workspace as locked and run the tests of more than one package."""
    sync = ["uv", "sync", "-q", "--frozen", "--no-default-groups", "--group=test", "--group=nox"]
    session.run_install(*sync, env={"UV_PROJECT_ENVIRONMENT": session.virtualenv.location}, external=True)
    session.run("python", "-m", "pytest", *(session.posargs or ["tests"]), env=KEEP_BYTECODE)
    if "CI" in os.environ:
        session.notify("lint")
        for package in MINIMUMS_IN_CI:
            session.notify(f"minimums({package})")


@nox_uv.session(uv_groups=["lint", "test", "nox"])
def lint(session: nox.Session) -> None:
    """Check format and style (ruff), types (pyright) and which package imports which (import-linter)."""
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("pyright", "--pythonpath", shutil.which("python", path=session.bin) or "python")
    session.run("lint-imports")


@nox.session
@nox.parametrize("package", list(ON_GPU), ids=list(ON_GPU))
def gpu(session: nox.Session, package: str) -> None:
    """Run the tests that need a GPU, of each package that has some, in an environment of its own."""
    if shutil.which("nvidia-smi") is None:
        session.skip("no GPU on this machine")
    install_alone(session, package, *ON_GPU[package])
    run_tests(session, package, "-m", "gpu")


@nox.session
def browser(session: nox.Session) -> None:
    """Open the report in a headless Chromium and use it as a reader would."""
    if not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))):
        session.skip("no Chromium on this machine: install the package `chromium`")
    install_alone(session, "ctd-analysis")
    run_tests(session, "ctd-analysis", "-m", "browser")


@nox.session
def fuzz(session: nox.Session) -> None:
    """Damage 10,000 small files of the contract: each must read as it was or raise a ContractError."""
    install_alone(session, "ctd-contract")
    run_tests(session, "ctd-contract", "-m", "fuzz")


@nox.session
def ray(session: nox.Session) -> None:
    """Search hyperparameters by workers of Ray on this machine, some of which are killed."""
    install_alone(session, "ctd-models-torch")
    run_tests(session, "ctd-models-torch", "-m", "ray")


@nox_uv.session(uv_groups=["test"])
def bench(session: nox.Session) -> None:
    """Measure every speed claim as a ratio and write benchmarks/results.json."""
    session.run("python", "benchmarks/run.py", *session.posargs)


@nox_uv.session(uv_groups=["docs"])
def docs(session: nox.Session) -> None:
    """Build the documentation into docs/_build; warnings are errors."""
    session.run("sphinx-build", "-W", "-q", "-b", "html", "docs", "docs/_build")


@nox.session
@nox.parametrize("package", PACKAGES, ids=PACKAGES)
def minimums(session: nox.Session, package: str) -> None:
    """Test a package with the lowest direct versions that it declares."""
    lowest = [
        "--resolution=lowest-direct",
        "--group",
        f"{ROOT / 'packages' / package / 'pyproject.toml'}:test",
    ]
    wheels = build_wheels(session, *{"ctd-contract", package})
    extras = "[mat,command]" if package == "ctd-contract" else ""
    session.install(*lowest, *(f"{wheel}{extras}" for wheel in wheels))
    run_tests(session, package, *without(package, "gpu", "slow"))
