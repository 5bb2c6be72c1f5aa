"""``tidegauge keys``: make, list and revoke the gateway's client keys."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from tidegauge.cli.wrapping import print_json, say
from tidegauge.gateway.errors import KeyFileError
from tidegauge.gateway.policy import keys
from tidegauge.reports.formatting import count, dollars
from tidegauge.schemas.exchange import Capture

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help="Client keys of the gateway. A running gateway follows the file by itself.",
)

KeysFile = Annotated[
    Path,
    typer.Option(
        "--file",
        envvar="TIDEGAUGE_GATEWAY_KEYS_FILE",
        help="The file of keys, made if absent; TIDEGAUGE_GATEWAY_KEYS_FILE if that is set.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print for machines.")]
DEFAULT_FILE: Final = Path("tidegauge-keys.json")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@app.command()
def create(  # noqa: PLR0913, PLR0917 - one option for each field of a key
    customer: Annotated[str, typer.Argument(help="Name of the customer, on every event.")],
    file: KeysFile = DEFAULT_FILE,
    models: Annotated[
        list[str] | None, typer.Option("--model", help="A model it may use; repeat; default: all.")
    ] = None,
    requests_per_minute: Annotated[
        int | None, typer.Option("--rpm", min=1, help="Requests a minute.")
    ] = None,
    tokens_per_minute: Annotated[
        int | None, typer.Option("--tpm", min=1, help="Tokens a minute, in and out.")
    ] = None,
    budget: Annotated[
        float | None, typer.Option("--budget-usd", min=0, help="USD in a UTC day.")
    ] = None,
    capture: Annotated[
        str | None, typer.Option(help="Text in events: full, redacted or none.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Make a key and show it, once."""
    _check_customer(customer)
    key, record = keys.create(
        keys.Customer(
            name=customer,
            key_id="",
            models=tuple(models) if models else None,
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
            budget_usd_per_day=budget,
            capture=_capture(capture),
        ),
        created=_now(),
    )
    keys.change(file, lambda records: (*records, record))
    if as_json:
        print_json({"key": key, "id": record.id, "file": str(file)})
    else:
        typer.echo(key)
        typer.echo(f"This key of {customer} is shown only now; {file} keeps its hash.", err=True)


@app.command("list")
def list_keys(file: KeysFile = DEFAULT_FILE, *, as_json: Json = False) -> None:
    """List the keys, without their secrets."""
    records = keys.load(file)
    if as_json:
        shown = [
            {name: value for name, value in msgspec.to_builtins(record).items() if name != "sha256"}
            for record in records
        ]
        print_json(shown)
        return
    for record in records:
        said = f"valid since {record.created}"
        if record.revoked:
            said = f"created {record.created}, revoked {record.revoked}"
        say(f"{record.id} of {record.customer}: {said}; {'; '.join(_rights(record))}")
    if not records:
        say(f"There are no keys in {file}.")


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id, as `list` shows it.")],
    file: KeysFile = DEFAULT_FILE,
) -> None:
    """Revoke a key; a running gateway refuses it within two seconds."""
    keys.change(file, lambda records: keys.revoke(records, key_id, revoked=_now()))
    typer.echo(f"{key_id} is revoked")


def _check_customer(name: str) -> None:
    if not name.strip() or not name.isprintable() or len(name) > 64:  # noqa: PLR2004 - a label
        raise KeyFileError("a customer's name has 1 to 64 printable characters")


def _capture(name: str | None) -> Capture | None:
    if name is None:
        return None
    try:
        capture: Capture = msgspec.convert(name, Capture)
    except msgspec.ValidationError as error:
        raise KeyFileError(f"--capture is {name!r}: use full, redacted or none") from error
    return capture


def _rights(record: keys.KeyRecord) -> Iterator[str]:
    """Yield what a key may do, and how its text is captured where the key says that."""
    yield f"models {', '.join(record.models)}" if record.models else "all models"
    if record.requests_per_minute is not None:
        yield f"{count(record.requests_per_minute)} requests a minute"
    if record.tokens_per_minute is not None:
        yield f"{count(record.tokens_per_minute)} tokens a minute"
    if record.budget_usd_per_day is not None:
        yield f"{dollars(record.budget_usd_per_day)} a day"
    if record.capture is not None:
        yield f"text captured: {record.capture}"
