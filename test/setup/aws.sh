#!/bin/sh
# Puts what the AWS tests run for real into .cache: versitygw (S3, IAM, STS) and
# OpenTofu, built from the Go modules beside this file, dynalite (DynamoDB) and
# fauxqs (SQS, SNS) with a Node.js of their own, from npm. Does nothing for what
# is there. aws-cli is a package: packages.sh. Arguments: which of versitygw,
# tofu, npm; none means all.
set -eu
cd "$(dirname "$0")/../.."
root=$PWD
bin=$root/.cache/bin
mkdir -p "$bin"

# program NAME MODULE LDFLAGS: builds the tool of test/setup/NAME, unless it is
# there in the version that its go.mod names.
program() {
	version=$(sed -n "s,^require $2 \(v[^ ]*\).*,\1,p; s,^	$2 \(v[^ ]*\).*,\1,p" "test/setup/$1/go.mod")
	if go version -m "$bin/$1" 2>/dev/null | grep -qE "	(mod|dep)	$2	$version	"; then
		echo "setup: $1 $version is there"
		return
	fi
	echo "setup: building $1 $version into .cache/bin; this takes minutes"
	(cd "test/setup/$1" && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w $3" -o "$bin/$1.new" tool)
	mv "$bin/$1.new" "$bin/$1"
}

packages() {
	out=$root/.cache/npm
	if cmp -s test/setup/npm/package-lock.json "$out/installed.json"; then
		echo "setup: dynalite and fauxqs are there"
		return
	fi
	if ! command -v npm >/dev/null; then
		echo "setup: npm is not there: run test/setup/packages.sh npm, then make setup again" >&2
		exit 1
	fi
	echo "setup: installing dynalite and fauxqs into .cache/npm"
	rm -rf "$out"
	mkdir -p "$out"
	cp test/setup/npm/package.json test/setup/npm/package-lock.json "$out/"
	# No package's own script runs here: none of these needs one.
	(cd "$out" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
	cp test/setup/npm/package-lock.json "$out/installed.json"
}

[ $# -gt 0 ] || set -- npm versitygw tofu
for what; do
	case $what in
	versitygw) program versitygw github.com/versity/versitygw "" ;;
	tofu) program tofu github.com/opentofu/opentofu "-X github.com/opentofu/opentofu/version.dev=no" ;;
	npm) packages ;;
	*) echo "setup: unknown $what: versitygw, tofu or npm" >&2 && exit 2 ;;
	esac
done
