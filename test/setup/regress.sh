#!/bin/sh
# Fetches PostgreSQL's own regression files, of the version that is installed,
# out of the distribution's source package into .cache/regress. Needs no root and
# leaves the system's package lists alone.
set -eu
cd "$(dirname "$0")/../.."

bin=${SIGNALBOX_PG_BIN:-$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -t/ -k5 -n | tail -n 1)}
if [ ! -x "$bin/postgres" ]; then
	echo "setup: no PostgreSQL server programs: run test/setup/packages.sh first" >&2
	exit 1
fi
version=$("$bin/postgres" --version | sed 's/^[^0-9]*//; s/[^0-9].*//')
out=.cache/regress
if [ "$(cat $out/VERSION 2>/dev/null)" = "$version" ]; then
	echo "setup: PostgreSQL $version regression files are there"
	exit 0
fi
if ! command -v apt-get >/dev/null; then
	echo "setup: no apt-get: unpack src/test/regress of PostgreSQL $version's source into $out and write $version to $out/VERSION" >&2
	exit 1
fi

echo "setup: fetching the source package of postgresql-$version"
mkdir -p .cache
work=$(mktemp -d "$PWD/.cache/source.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/keys" "$work/empty"
chmod 755 "$work"

# The same servers as for binary packages, whichever they are here; of those, the
# distribution's own suites and the PostgreSQL project's.
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
# shellcheck disable=SC2016 # apt expands these
apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' | sort -u |
	awk -v c="$codename" '$3 == "main" && ($2 == c || $2 == c "-updates" || $2 == c "-security" || $2 == c "-pgdg") { print "deb-src", $0 }' >"$work/sources.list"
if [ ! -s "$work/sources.list" ]; then
	echo "setup: found no package source for $codename in apt's configuration" >&2
	exit 1
fi
for key in /etc/apt/trusted.gpg.d/* /etc/apt/keyrings/* /usr/share/keyrings/*archive*keyring.gpg /usr/share/postgresql-common/pgdg/*.asc; do
	[ ! -f "$key" ] || cp -L "$key" "$work/keys/"
done
cat >"$work/apt.conf" <<EOF
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "$work/empty";
Dir::Etc::trustedparts "$work/keys";
Dir::State::lists "$work/lists";
Dir::Cache::archives "$work/archives";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Acquire::Retries "3";
EOF
if [ "$(id -u)" -eq 0 ]; then
	# apt would fetch as the user _apt, for whom this folder may be closed.
	echo 'APT::Sandbox::User "root";' >>"$work/apt.conf"
fi
export APT_CONFIG="$work/apt.conf"
apt-get update -q || echo "setup: apt-get update complained, trying all the same" >&2
# Any minor version will do, as both runs meet the same server; and a mirror may
# list a version that it does not hold. Hence newest first, until one arrives.
for minor in $(apt-cache showsrc --only-source "postgresql-$version" | sed -n 's/^Version: //p' | sort -rV); do
	if (cd "$work" && apt-get source -q --download-only "postgresql-$version=$minor"); then
		break
	fi
	rm -f "$work"/postgresql-*
	echo "setup: no source of postgresql-$version $minor, trying an older one" >&2
done
if ! ls "$work"/postgresql-"$version"_*.orig.tar.* >/dev/null 2>&1; then
	echo "setup: no source package of postgresql-$version could be fetched" >&2
	exit 1
fi

mkdir "$work/regress"
tar -xf "$work"/postgresql-"$version"_*.orig.tar.* -C "$work/regress" --strip-components=4 --wildcards \
	'*/src/test/regress/sql/*' '*/src/test/regress/expected/*' '*/src/test/regress/data/*' '*/src/test/regress/parallel_schedule'
echo "$version" >"$work/regress/VERSION"
chmod -R a+rX "$work/regress" # the server, another user, reads the data files
rm -rf $out
mv "$work/regress" $out
echo "setup: $(ls $out/sql | wc -l) regression files of PostgreSQL $version in $out"
