# shellcheck shell=bash disable=SC2034
# Everything that set-up installs by version, in one place. Change a number here and the next set-up installs it.

# The oldest Rust that the workspace builds with (Cargo.toml says the same; set-up compares).
RUST_VERSION_MIN=1.95

# OpenClaw needs Node >= 24.16; the machine's own Node may be older, so a Node of its own comes as a package.
NODE_VERSION=24
OPENCLAW_VERSION=2026.9.6

# The provider's TypeScript core SDK; the generated clients of its products are not on npm.
OPENAPI_CORE_VERSION=1.0.8

# The official Node clients of both families of dialects that the gateway speaks.
OPENAI_NODE_VERSION=7.57.0
ANTHROPIC_NODE_VERSION=1.14.0

# Debian's package name of the database server; any major version >= 15 serves.
POSTGRES_PACKAGE=postgresql

# Another gateway, which scripts/bench.sh gateway compares with.
ROLTER_VERSION=0.1.0
