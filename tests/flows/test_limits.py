"""What is refused before anything is read: modules that nobody allowed, and their names' beginnings."""

import pytest

from flows.cli import main
from flows.limits import MODULES, require_specs
from siglino_core.config import Config, EmbedConfig, TargetsConfig
from siglino_core.errors import ConfigError


@pytest.mark.parametrize(
    ("allowed", "module", "passes"),
    [
        ("", "mine", False),
        ("mine", "mine", True),
        ("mine", "mine.networks", True),
        ("mine.networks", "mine", False),
        ("other, mine", "mine", True),
        ("min", "mine", False),
        ("mine", "os", False),
        (",", "os", False),
    ],
)
def test_modules_that_may_run(monkeypatch: pytest.MonkeyPatch, allowed: str, module: str, passes: bool) -> None:
    monkeypatch.setenv(MODULES, allowed)
    for config, stage in (
        (Config(embed=EmbedConfig(encoder=f"{module}:load")), "embed"),
        (Config(targets=TargetsConfig(teachers=["lite", f"{module}:load"])), "targets"),
    ):
        if passes:
            require_specs(config, [stage])
        else:
            with pytest.raises(ConfigError, match=rf"{module} is not among the modules that may run here.*{MODULES}="):
                require_specs(config, [stage])
        require_specs(config, ["source", "cluster", "export"])


@pytest.mark.parametrize("command", ["plan", "curate", "run"])
def test_by_every_command(command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv(MODULES, raising=False)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert main([command, "source.uri=/none", "run=/tmp/none", "embed.encoder=os:system"]) == 2
    assert "embed.encoder=os:system: os is not among the modules that may run here" in capsys.readouterr().err
