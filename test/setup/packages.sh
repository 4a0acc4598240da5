#!/bin/sh
# Installs the distribution's packages that tests and the demo run for real.
# Does nothing when the programs are there. Arguments: further packages wanted:
# awscli in version 2 (beside an older one if need be), or any that is named like
# its program (npm; pgbouncer for the benchmarks).
set -eu

has() { command -v "$1" >/dev/null 2>&1; }

has_server() {
	[ -n "${SIGNALBOX_PG_BIN:-}" ] && [ -x "$SIGNALBOX_PG_BIN/initdb" ] && return
	for dir in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin; do
		[ -x "$dir/initdb" ] && return
	done
	has initdb
}

has_aws() {
	for aws in /usr/bin/aws /usr/local/bin/aws aws; do
		case $("$aws" --version 2>/dev/null) in aws-cli/2.*) return ;; esac
	done
	return 1
}

want=
has_server || want="$want postgresql"
has psql || want="$want postgresql-client"
has openssl || want="$want openssl"
has ps || want="$want procps"
has bzip2 || want="$want bzip2"
for extra; do
	if [ "$extra" = awscli ]; then
		has_aws || want="$want awscli"
		continue
	fi
	has "$extra" || [ -x "/usr/sbin/$extra" ] || want="$want $extra"
done
if [ -z "$want" ]; then
	echo "setup: packages are there"
	exit 0
fi

as_root=
if [ "$(id -u)" -ne 0 ]; then
	as_root=sudo
fi
if ! has apt-get || { [ -n "$as_root" ] && ! has sudo; }; then
	echo "setup: please install:$want (Debian's names), then run make setup again" >&2
	exit 1
fi

echo "setup: installing$want"
# We start servers of our own, from folders of our own. The packages must not
# also start theirs on the well-known ports of somebody's laptop.
if ! has_server; then
	$as_root mkdir -p /etc/postgresql-common/createcluster.d
	echo "create_main_cluster = false" | $as_root tee /etc/postgresql-common/createcluster.d/signalbox.conf >/dev/null
fi
if [ ! -e /usr/sbin/policy-rc.d ]; then
	trap '$as_root rm -f /usr/sbin/policy-rc.d' EXIT
	trap 'exit 130' INT TERM
	printf '#!/bin/sh\nexit 101\n' | $as_root tee /usr/sbin/policy-rc.d >/dev/null
	$as_root chmod 755 /usr/sbin/policy-rc.d
fi
# A repository of somebody else that does not answer is no reason to stop here.
$as_root apt-get update -q || echo "setup: apt-get update complained, trying all the same" >&2
# shellcheck disable=SC2086 # one word per package
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
	-o DPkg::Lock::Timeout=300 $want
