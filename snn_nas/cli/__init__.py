"""The command line. Command files import only click; what is heavy is imported where it is used."""

from __future__ import annotations

import os
import sys

import click

from neurons.errors import UserError
from snn_nas.cli.energy import energy
from snn_nas.cli.evaluate import evaluate
from snn_nas.cli.export import export
from snn_nas.cli.lists import rules, spaces
from snn_nas.cli.load import load
from snn_nas.cli.report import report
from snn_nas.cli.resume import resume
from snn_nas.cli.robustness import robustness
from snn_nas.cli.search import search
from snn_nas.cli.study import study
from snn_nas.cli.train import train
from snn_nas.cli.view import view


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="snn-nas")
@click.pass_context
def cli(context: click.Context) -> None:
    """Search the topology of a spiking network and the learning rule of every layer, together.

    \b
    A first look, five minutes on two cores:
      snn-nas search --config experiments/quickstart.yml

    \b
    Then, on a network that a search found (or any genotype that you write):
      snn-nas train "chain(T=4){conv(c=32)@local/lif; readout@delta}" --data digits --out model
      snn-nas energy model/weights.safetensors --profile loihi

    Data sets lie under the folder that SNN_NAS_DATA names; `digits` is always there.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and context.invoked_subcommand != "train":
        raise UserError(f"torchrun is for snn-nas train: run snn-nas {context.invoked_subcommand} by itself")


for command in (search, resume, train, evaluate, study, robustness, energy, load, export, report, view, rules, spaces):
    cli.add_command(command)


def main() -> None:
    """Run the command line; what the user got wrong is one line and exit code 2."""
    try:
        code = cli(prog_name="snn-nas", standalone_mode=False)
    except UserError as error:
        print(f"snn-nas: {error}", file=sys.stderr)
        sys.exit(2)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "snn-nas"
        message = " ".join(error.format_message().split()).rstrip(".")
        print(f"{command}: {message} (see {command} --help)", file=sys.stderr)
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        print("snn-nas: stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        print(f"snn-nas: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(code if isinstance(code, int) else 0)
