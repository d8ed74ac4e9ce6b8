"""How every stage starts: check the settings, then work; bad input ends in one line."""

import argparse
import sys
from collections.abc import Callable

from mimi_dynamics.errors import InputError
from mimi_dynamics.params import Params, load_params


def run_stage(stage: Callable[[Params], None]) -> None:
    """Run `stage` with the checked settings of `params.yaml`; `--help` prints its module's purpose.

    Exits with 1 and one line on standard error if anything raises `InputError`.
    """
    name = stage.__name__
    description = sys.modules[stage.__module__].__doc__
    parser = argparse.ArgumentParser(
        prog=f"python src/{name}.py",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Settings are read from params.yaml; there are no options.",
    )
    parser.parse_args()
    try:
        stage(load_params())
    except InputError as error:
        sys.exit(f"{name}: error: {error}")
    except KeyboardInterrupt:
        sys.exit(f"{name}: interrupted; `dvc repro` starts this stage again")
