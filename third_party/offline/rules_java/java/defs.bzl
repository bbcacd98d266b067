"""Forwards what Bazel's own packages load to the rules built into Bazel 4."""

java_import = native.java_import
java_runtime = native.java_runtime
java_toolchain = native.java_toolchain
