"""The room's light part stays light."""

import subprocess
import sys


def test_config_rows_and_advantages_are_importable_without_torch() -> None:
    code = "import sys, trainer, trainer.config; sys.exit(any(m in sys.modules for m in ('torch', 'transformers')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_public_names_are_those_promised() -> None:
    import trainer

    assert sorted(trainer.__all__) == trainer.__all__
    assert set(trainer.__all__) >= {"PolicyConfig", "SftConfig", "GrpoConfig", "TokenRow", "group_advantages"}
