#!/bin/sh
# Builds Go programs of our nested modules into .cache/bin. Arguments: which
# groups. foreign: what verifies our log in tests; check: what make check runs;
# generate: sqlc.
set -eu
cd "$(dirname "$0")/../.."
bin=$PWD/.cache/bin
mkdir -p "$bin"

for group; do
	echo "setup: building $group tools into .cache/bin"
	case $group in
	foreign) (cd test/foreign && go build -o "$bin/" ./fsck filippo.io/torchwood/cmd/spicy) ;;
	check) (cd tools/check && go build -o "$bin/" tool) ;;
	generate) (cd tools/sqlc && go build -o "$bin/" tool) ;;
	*) echo "setup: unknown group $group: foreign, check or generate" >&2 && exit 2 ;;
	esac
done
