# SPDX-License-Identifier: Apache-2.0
"""What every suite does with its temporary folders: they go once they are of no more use. All of them, kept to the end of
a run as pytest does, are 30 GB."""
import shutil

import pytest


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A test that did not fail, nor what comes after it, has no use for its folder; another leaves it to be looked at."""
    outcome = yield
    item.failed = getattr(item, "failed", False) or outcome.get_result().failed
    folder = getattr(item, "funcargs", {}).get("tmp_path")
    if call.when == "teardown" and folder and not item.failed:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def whole_run(tmp_path_factory, request):
    """What sessions and modules made, behind a run without a failure."""
    yield
    if not request.session.testsfailed:
        shutil.rmtree(tmp_path_factory.getbasetemp(), ignore_errors=True)
