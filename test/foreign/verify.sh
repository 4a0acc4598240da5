#!/bin/sh
# Verifies that an entry stands in a log, with nothing but openssl (3 or newer),
# coreutils and this script, which is short enough to be read before it is run:
#
#     verify.sh ENTRY PROOF VKEY
#
# ENTRY is the file of the entry's bytes, PROOF its proof (c2sp.org/tlog-proof, as
# `signalbox log proof` prints it), VKEY the log's verifier key. Exit 0 says: the
# owner of that key signed a tree of entries with this one in it, at that index.
set -eu

if [ $# -ne 3 ]; then
	echo "usage: verify.sh ENTRY PROOF VKEY" >&2
	exit 2
fi
entry=$1 proof=$2 vkey=$3
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

refuse() {
	echo "NOT VERIFIED: $*" >&2
	exit 1
}
hex() { od -An -v -tx1 | tr -d ' \n'; }
unhex() { tr a-f A-F | basenc --base16 -d; }
sha256() { openssl dgst -sha256 -binary | hex; }
number() { # a number, so that shell arithmetic does not take it for a name
	case $1 in '' | *[!0-9]* | 0?* | ????????????????*) refuse "bad number \"$1\"" ;; esac
}

# The key: NAME+ID+base64(1 || 32 bytes of Ed25519), where ID is the first four
# bytes of SHA-256(NAME || newline || the same 33 bytes). c2sp.org/signed-note
name=${vkey%%+*}
rest=${vkey#*+}
id=${rest%%+*}
key=$(printf %s "${rest#*+}" | base64 -d | hex) || refuse "bad key"
[ ${#key} -eq 66 ] && [ "${key%"${key#01}"}" = 01 ] || refuse "not an Ed25519 key"
want=$({ printf '%s\n' "$name" && printf %s "$key" | unhex; } | sha256 | cut -c1-8)
[ "$id" = "$want" ] || refuse "the key's id is $id, computed $want"

# The proof: a line that names the format, perhaps extra data, the index, one
# hash per line, an empty line, and the signed checkpoint.
[ "$(sed -n 1p "$proof")" = "c2sp.org/tlog-proof@v1" ] || refuse "not a proof of version 1"
index=$(sed -n '2,3s/^index //p' "$proof")
number "$index"
sed '1,/^$/d' "$proof" >"$dir/checkpoint"
sed -n '/^index /,/^$/p' "$proof" | sed '1d;/^$/d' >"$dir/path"

# The checkpoint: origin, size and root, an empty line, signatures.
sed '/^$/,$d' "$dir/checkpoint" >"$dir/text"
[ "$(sed -n 1p "$dir/text")" = "$name" ] || refuse "the checkpoint is of log \"$(sed -n 1p "$dir/text")\", the key of \"$name\""
size=$(sed -n 2p "$dir/text")
number "$size"
root=$(sed -n 3p "$dir/text" | base64 -d | hex) || refuse "bad root"

# The signature: base64(ID || 64 bytes) in a line that begins with a dash and the
# log's name; over the text with its last newline. Other lines are cosignatures.
printf '302a300506032b6570032100%s' "${key#01}" | unhex >"$dir/key.der"
signed=
sed '1,/^$/d' "$dir/checkpoint" >"$dir/signatures"
while read -r dash who what; do
	[ "$dash" = "—" ] && [ "$who" = "$name" ] || continue
	sig=$(printf %s "$what" | base64 -d | hex) || continue
	[ ${#sig} -eq 136 ] && [ "${sig%"${sig#"$id"}"}" = "$id" ] || continue
	printf %s "${sig#"$id"}" | unhex >"$dir/sig"
	if openssl pkeyutl -verify -pubin -keyform DER -inkey "$dir/key.der" -rawin -in "$dir/text" -sigfile "$dir/sig" >/dev/null 2>&1; then
		signed=yes
	fi
done <"$dir/signatures"
[ -n "$signed" ] || refuse "the checkpoint is not signed by $name"

# From the entry up to the root. RFC 9162 section 2.1.3.2; a leaf is hashed behind
# a zero byte, two children behind a one.
[ "$index" -lt "$size" ] || refuse "index $index is not below the size $size"
node=$({ printf '\000' && cat "$entry"; } | sha256)
at=$index last=$((size - 1))
while read -r line; do
	other=$(printf %s "$line" | base64 -d | hex) || refuse "bad hash in the path"
	[ ${#other} -eq 64 ] || refuse "bad hash in the path"
	[ $last -gt 0 ] || refuse "the path is too long"
	if [ $((at % 2)) -eq 1 ] || [ $at -eq $last ]; then
		node=$(printf '01%s%s' "$other" "$node" | unhex | sha256)
		while [ $((at % 2)) -eq 0 ] && [ $at -gt 0 ]; do
			at=$((at / 2)) last=$((last / 2))
		done
	else
		node=$(printf '01%s%s' "$node" "$other" | unhex | sha256)
	fi
	at=$((at / 2)) last=$((last / 2))
done <"$dir/path"
[ $last -eq 0 ] || refuse "the path is too short"
[ "$node" = "$root" ] || refuse "the entry leads to root $node, signed is $root"

echo "VERIFIED: entry $index of $size in the log $name"
