#!/usr/bin/env bash
# Builds the pinned containerd (from go.mod) and this module's own commands into a directory, by default ../.build/bin.
# Go itself knows what is up to date, so a second run takes seconds. Usage: build-tools.sh [DIRECTORY]
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=$(realpath -m "${1:-$here/../.build/bin}")
mkdir -p "$bin"

# Two test packages may ask at the same time.
exec 9>"$bin/.lock"
flock 9

cd "$here"
# Without cgo nothing but Go is needed, and the load generator runs inside an image that has no C library.
export CGO_ENABLED=0
go build -buildvcs=false -trimpath -o "$bin/" \
  github.com/containerd/containerd/v2/cmd/containerd \
  github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2 \
  github.com/containerd/containerd/v2/cmd/ctr \
  ./cmd/...
