import json
import subprocess
import sys

import pytest

import pulsing as pul

PROBE = """
import json, sys
before = set(sys.modules)
import pulsing
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_importing_pulsing_imports_nothing_but_its_names():
    done = subprocess.run(
        [sys.executable, "-c", PROBE], capture_output=True, text=True, check=True, timeout=30
    )
    ours = [name for name in json.loads(done.stdout) if name.startswith(("pulsing", "asyncio"))]
    assert ours == ["pulsing", "pulsing._version"]


def test_a_system_needs_neither_http_nor_cryptography():
    code = (
        "import sys, pulsing as pul\n"
        "async def main():\n"
        "    async with pul.running(): pass\n"
        "pul.run(main)\n"
        "print([m for m in ('hypercorn', 'httpx', 'cryptography') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", pul.__all__)
def test_every_public_name_is_there_and_documented(name):
    value = getattr(pul, name)
    if name != "__version__":
        assert value.__doc__


def test_dir_lists_the_public_names():
    assert set(pul.__all__) <= set(dir(pul))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        pul.nonsense  # noqa: B018


def test_names_of_the_original_import_stay_importable():
    from pulsing.core import ActorSystem, SystemConfig, remote
    from pulsing.exceptions import PulsingActorError, PulsingRuntimeError

    assert ActorSystem is pul.ActorSystem
    assert SystemConfig is pul.SystemConfig
    assert remote is pul.remote
    assert PulsingActorError is pul.PulsingActorError
    assert PulsingRuntimeError is pul.PulsingRuntimeError
