"""Finds the Python that is already on this machine."""

def find_python(ctx):
    """Finds the interpreter whose packages the build uses.

    Args:
      ctx: the repository rule's context.

    Returns:
      The interpreter's path.
    """
    env = ctx.os.environ
    python = env.get("PYTHON_BIN_PATH", "")
    if not python and "VIRTUAL_ENV" in env:
        python = env["VIRTUAL_ENV"] + "/bin/python"
    if not python:
        python = ctx.which("python3")
    if not python:
        fail("no python3 found; set PYTHON_BIN_PATH")
    return python
