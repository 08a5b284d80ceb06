# SPDX-License-Identifier: Apache-2.0
"""What every suite does with its temporary folders: they go once they are of no more use. All of them, kept to the end of
a run as pytest does, are 30 GB."""
import shutil

import pytest


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    item.failed = getattr(item, "failed", False) or outcome.get_result().failed


@pytest.fixture
def tmp_path(tmp_path, request):
    """pytest's, removed behind a test that did not fail; one that failed leaves it to be looked at."""
    yield tmp_path
    if not getattr(request.node, "failed", True):
        shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def whole_run(tmp_path_factory, request):
    """What sessions and modules made, behind a run without a failure."""
    yield
    if not request.session.testsfailed:
        shutil.rmtree(tmp_path_factory.getbasetemp(), ignore_errors=True)
