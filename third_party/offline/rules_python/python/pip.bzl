"""Maps each locked requirement to its copy in the local site-packages."""

load(":local.bzl", "find_python")

# Prints {name: {"version": X, "top": {file: path}, "deps": [name]}}.
_PROBE = """
import importlib.metadata, json, re, sys
from pip._vendor.packaging.requirements import Requirement

def norm(name):
    return re.sub("[-_.]+", "_", name).lower()

dists = {norm(d.metadata["Name"]): d for d in importlib.metadata.distributions()}
out = {}
for name, dist in dists.items():
    top = {f.parts[0] for f in dist.files or () if f.parts[0] not in ("..", "__pycache__")}
    reqs = [Requirement(r) for r in dist.requires or ()]
    deps = {norm(r.name) for r in reqs if not r.marker or r.marker.evaluate({"extra": ""})}
    out[name] = {
        "version": dist.version,
        "top": {t: str(dist.locate_file(t)) for t in sorted(top)},
        "deps": sorted(d for d in deps if d in dists and d != name),
    }
json.dump(out, sys.stdout)
"""

_PACKAGE = """\
py_library(
    name = "{name}",
    data = glob(["site-packages/*"], exclude_directories = 0),
    imports = ["site-packages"],
    visibility = ["//visibility:public"],
    deps = {deps},
)
"""

_REQUIREMENTS = """\
def install_deps(**kwargs):
    pass
"""

def _normalize(name):
    out = ""
    for c in name.lower().elems():
        c = "_" if c in "-._" else c
        if not (c == "_" and out.endswith("_")):
            out += c
    return out

def _pip_parse_impl(ctx):
    result = ctx.execute([find_python(ctx), "-c", _PROBE])
    if result.return_code:
        fail(result.stderr)
    installed = json.decode(result.stdout)
    locked = {}
    for line in ctx.read(ctx.path(ctx.attr.requirements_lock)).split("\n"):
        if "==" in line and line[0].isalnum():
            name, version = line.split(" ")[0].split("==")
            locked[_normalize(name.split("[")[0])] = version
    ctx.file("BUILD", "")
    ctx.file("requirements.bzl", _REQUIREMENTS)
    for name, version in locked.items():
        dist = installed.get(name)
        if not dist:
            continue
        if dist["version"] != version:
            fail("%s is locked at %s and installed at %s" %
                 (name, version, dist["version"]))
        for top, path in dist["top"].items():
            ctx.symlink(path, "%s/site-packages/%s" % (name, top))
        ctx.file(name + "/BUILD", _PACKAGE.format(
            name = name,
            deps = repr(["//" + d for d in dist["deps"] if d in locked]),
        ))

pip_parse = repository_rule(
    implementation = _pip_parse_impl,
    attrs = {
        "python_interpreter_target": attr.string(),
        "requirements_lock": attr.label(mandatory = True, allow_single_file = True),
    },
    environ = ["PATH", "PYTHON_BIN_PATH", "VIRTUAL_ENV"],
    local = True,
)
