"""A py_test whose cases pytest collects."""

load("@rules_python//python:defs.bzl", "py_test")

def pytest_test(name, srcs, deps = [], data = [], args = [], **kwargs):
    """Runs pytest on srcs, with the project's pytest settings.

    A plain py_test of a file with no main block runs no case and passes.

    Args:
      name: name of the test.
      srcs: test files that pytest collects.
      deps: libraries under test.
      data: files that the tests read.
      args: more arguments for pytest.
      **kwargs: passed to py_test.
    """
    runner = "//tests:pytest_main.py"
    py_test(
        name = name,
        srcs = srcs + [runner],
        args = ["$(rootpath %s)" % src for src in srcs] + args,
        data = data + ["//:pyproject.toml"],
        main = runner,
        deps = deps + [
            "//tests",
            "//tests:conftest",
            "@pypi//pytest",
            "@pypi//pytest_timeout",
        ],
        **kwargs
    )
