#!/bin/sh
# Installs the clients of PostgreSQL whose ordinary work test/drivers sends through a
# gate: packages of the distribution, and of npm into .cache/drivers. Does nothing for
# what is there.
set -eu
cd "$(dirname "$0")/../.."

want=
package() { # NAME COMMAND…: the package is there if the command succeeds
	name=$1
	shift
	"$@" >/dev/null 2>&1 || want="$want $name"
}
package python3-psycopg2 /usr/bin/python3 -c "import psycopg2"
package python3-psycopg /usr/bin/python3 -c "import psycopg"
package python3-asyncpg /usr/bin/python3 -c "import asyncpg"
package python3-django /usr/bin/python3 -c "import django"
package python3-sqlalchemy /usr/bin/python3 -c "import sqlalchemy"
package ruby-pg /usr/bin/ruby -e "require 'pg'"
package ruby-activerecord /usr/bin/ruby -e "require 'active_record'"
package libpostgresql-jdbc-java test -e /usr/share/java/postgresql.jar
package default-jdk-headless javac -version
package nodejs node --version
package npm npm --version
if [ -n "$want" ]; then
	echo "setup: installing$want"
	as_root=
	[ "$(id -u)" -eq 0 ] || as_root=sudo
	$as_root apt-get update -q || echo "setup: apt-get update complained, trying all the same" >&2
	# shellcheck disable=SC2086 # one word per package
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
		-o DPkg::Lock::Timeout=300 $want
fi

out=$PWD/.cache/drivers
if ! cmp -s test/drivers/npm/package-lock.json "$out/installed.json"; then
	echo "setup: installing drivers for Node.js into .cache/drivers"
	rm -rf "$out"
	mkdir -p "$out"
	cp test/drivers/npm/package.json test/drivers/npm/package-lock.json "$out/"
	(cd "$out" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
	cp test/drivers/npm/package-lock.json "$out/installed.json"
fi
echo "setup: drivers are there"
