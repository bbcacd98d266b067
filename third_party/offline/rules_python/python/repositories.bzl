"""Registers the Python that is already on this machine as the toolchain."""

load(":local.bzl", "find_python")

_BUILD = """\
load("@bazel_tools//tools/python:toolchain.bzl", "py_runtime_pair")

py_runtime(
    name = "runtime",
    interpreter_path = "{interpreter}",
    python_version = "PY3",
    stub_shebang = "#!{shebang}",
)

py_runtime_pair(
    name = "runtime_pair",
    py3_runtime = ":runtime",
)

toolchain(
    name = "toolchain",
    toolchain = ":runtime_pair",
    toolchain_type = "@bazel_tools//tools/python:toolchain_type",
)
"""

_PROBE = "import sys; print(sys.executable); print('%d.%d' % sys.version_info[:2])"

def _local_python_impl(ctx):
    python = find_python(ctx)
    result = ctx.execute([python, "-c", _PROBE])
    if result.return_code:
        fail("%s does not run: %s" % (python, result.stderr))
    executable, version = result.stdout.strip().split("\n")
    if version != ctx.attr.python_version:
        fail("%s is Python %s, and WORKSPACE asks for %s" %
             (executable, version, ctx.attr.python_version))

    # -S leaves site-packages out: only what deps name can be imported.
    ctx.file("python", "#!/bin/sh\nexec %s -S \"$@\"\n" % executable)
    ctx.file("BUILD", _BUILD.format(
        interpreter = ctx.path("python"),
        shebang = executable,
    ))

_local_python = repository_rule(
    implementation = _local_python_impl,
    attrs = {"python_version": attr.string(mandatory = True)},
    environ = ["PATH", "PYTHON_BIN_PATH", "VIRTUAL_ENV"],
    local = True,
)

def py_repositories():
    """Does nothing: the stand-in has no dependencies of its own."""

def python_register_toolchains(name, python_version):
    """Registers the local interpreter.

    Args:
      name: name of the repository that describes the interpreter.
      python_version: the X.Y that the interpreter must be.
    """
    _local_python(name = name, python_version = python_version)
    native.register_toolchains("@%s//:toolchain" % name)
