"""One library a room and one test a folder, found by globs: a new file needs no entry anywhere."""

load("@rules_python//python:defs.bzl", "py_library", "py_test")

def _pypi(packages):
    return ["@pypi//" + package for package in packages]

def odyssey_library(name, deps = [], packages = []):
    """Makes a library of all sources and data files below this BUILD file.

    Args:
      name: name of the library, that of its folder.
      deps: libraries that it imports.
      packages: distributions that it imports, spelled as `pip.parse` spells them.
    """
    py_library(
        name = name,
        srcs = native.glob(["**/*.py"]),
        data = native.glob(
            ["**/*"],
            allow_empty = True,
            exclude = ["**/*.py", "**/BUILD", "**/__pycache__/**"],
        ),
        visibility = ["//visibility:public"],
        deps = deps + _pypi(packages),
    )

def odyssey_test(name, srcs, deps = [], data = [], packages = [], **kwargs):
    """Runs pytest on srcs, with the project's pytest settings.

    A plain py_test of a file with no main block runs no case and passes.

    Args:
      name: name of the test.
      srcs: test files that pytest collects.
      deps: libraries under test.
      data: files that the tests read.
      packages: distributions that they import, pytest aside.
      **kwargs: passed to py_test.
    """
    py_test(
        name = name,
        srcs = srcs + ["pytest_main.py"],
        args = ["$(rootpath %s)" % src for src in srcs],
        data = data + ["//:pyproject.toml"],
        main = "pytest_main.py",
        deps = deps + _pypi(packages + ["pytest", "pytest_timeout"]),
        **kwargs
    )

def odyssey_tests(deps = [], data = [], packages = [], exclude = []):
    """Makes a test of each folder below this BUILD file that has files `*_test.py`.

    Args:
      deps: libraries under test.
      data: files that the tests read.
      packages: distributions that they import, pytest aside.
      exclude: files that a sandbox cannot run.
    """
    folders = {}
    for path in native.glob(["**/*_test.py"], exclude = exclude):
        folders.setdefault(path.rpartition("/")[0], []).append(path)
    for folder, srcs in folders.items():
        odyssey_test(
            name = (folder or "top") + "_test",
            size = "large",
            timeout = "eternal",  # pytest limits each case.
            srcs = srcs,
            data = data,
            deps = deps,
            packages = packages,
        )
