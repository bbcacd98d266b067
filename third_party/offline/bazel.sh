#!/bin/bash
# Runs Bazel 4.2 (Debian's bazel-bootstrap) on this checkout with no network.
# The interpreter's own packages stand in for those that pip would fetch.
# usage: [PYTHON_BIN_PATH=PYTHON] third_party/offline/bazel.sh COMMAND [ARG]...
set -euo pipefail

offline=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$offline/../.."

flags=()
for repo in remote_coverage_tools rules_cc rules_java rules_python; do
  flags+=("--override_repository=$repo=$offline/$repo")
done
command=$1
shift
case $command in
  build | run | test)
    # Links to another output tree would be read as packages of this one.
    flags+=(--symlink_prefix=/)
    flags+=(--nosandbox_debug --sandbox_default_allow_network=false)
    ;;
esac
exec bazel-4 --max_idle_secs=60 "$command" "${flags[@]}" "$@"
