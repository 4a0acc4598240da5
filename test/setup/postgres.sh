#!/bin/sh
# Puts PostgreSQL servers of further versions into .cache/postgres/VERSION, from npm:
# each with bin, lib and share. Tests run on them besides the system's own server.
# Does nothing for what is there.
set -eu
cd "$(dirname "$0")/../.."
out=$PWD/.cache/postgres
lock=test/setup/postgres/package-lock.json
if cmp -s "$lock" "$out/installed.json"; then
	echo "setup: PostgreSQL 17 and 18 are there"
	exit 0
fi
if ! command -v npm >/dev/null; then
	echo "setup: npm is not there: run test/setup/packages.sh npm, then make setup again" >&2
	exit 1
fi
echo "setup: installing PostgreSQL 17 and 18 into .cache/postgres"
rm -rf "$out"
mkdir -p "$out"
cp test/setup/postgres/package.json "$lock" "$out/"
# The packages' own script would make the links that their archives cannot hold: it
# is done here, so that no script of theirs runs.
(cd "$out" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
for native in "$out"/node_modules/postgres-*/native; do
	version=${native#"$out"/node_modules/postgres-}
	version=${version%%-*}
	tr '}' '\n' <"$native/pg-symlinks.json" |
		sed -n 's,.*"source":"native/\([^"]*\)"\,"target":"native/\([^"]*\)".*,\1 \2,p' |
		while read -r source target; do
			ln -sf "$(basename "$source")" "$native/$target" # both are in one folder
		done
	chmod +x "$native"/bin/*
	ln -sfn "${native#"$out"/}" "$out/$version"
done
cp "$lock" "$out/installed.json"
