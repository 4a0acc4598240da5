// Package proof holds all that an auditor needs: the format of the log's
// entries, the digests that hide and disclose, and the verification of proofs
// and of whole logs. It imports the standard library, package signalbox, and
// the tlog, note and torchwood libraries; nothing of the running system.
//
// The one thing to know before using it: what is in an entry's clear fields is
// public for ever. Everything that may hold a secret or personal data goes into
// [Hidden], of which the log keeps salted digests only.
//
// # Entries
//
// A leaf of the log is one JSON object of at most 65,535 bytes, without white
// space, its fields in the order of the Go types in this package:
//
//	{"v":1,"type":"outcome","id":"01JD…","time":1763900000000,
//	 "intent":"01JD…","result":"done","rows":1,
//	 "_sd_alg":"sha-256","_sd":["5nXy…","Jzq1…","b2ZL…","w-9A…"]}
//
// v, type, id and time begin every entry; the fields of its type follow (see
// [Kind] and docs/entries.md); the digests of its hidden fields end it. A field
// that is empty is left out. A reader refuses what it does not know: another
// version, an unknown type, an unknown or repeated field.
//
// The leaf hash is that of RFC 6962 over these bytes, and the log is served as
// c2sp.org/tlog-tiles.
//
// # Hidden fields
//
// Each hidden field is one disclosure in the sense of RFC 9901 section 4.2.1,
//
//	disclosure = base64url(["salt","name",value])
//	digest     = base64url(SHA-256(disclosure))
//
// without padding, and the entry holds the digest. Where RFC 9901 leaves the
// salt to the issuer, it is derived here from 32 random bytes per entry, the
// entry's key: the first 16 bytes of HMAC-SHA-256(key, "field" 0x00 name), in
// base64url. Decoys fill the digests up to a multiple of four, and all are
// sorted, so that neither number nor order tells what is there.
//
// The disclosure string of a field discloses that field alone; the key and the
// payload disclose the entry. Deleting both erases what was hidden: the leaf,
// every proof and every signature over it stay good.
package proof
