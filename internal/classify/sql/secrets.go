package sql

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql/pgtree"
)

// secretTable marks a statement that reads a relation which holds credentials
// of the server itself.
func (j *judge) secretTable(name string) {
	switch strings.TrimPrefix(name, "pg_catalog.") {
	case "pg_authid", "pg_shadow", "pg_user_mapping", "pg_user_mappings", "pg_hba_file_rules",
		"pg_ident_file_mappings", "pg_subscription", "pg_file_settings":
		j.trait(signalbox.TraitCredentials)
	}
}

// secretColumn reports whether a column's name plainly says that it holds a
// secret.
func secretColumn(name string) bool {
	switch strings.ToLower(name) {
	case "password", "passwd", "pwd", "passphrase", "password_hash", "passwd_hash", "pw_hash", "pwhash",
		"password_digest", "passwordhash",
		"hashed_password", "encrypted_password", "crypted_password", "rolpassword", "passwd_digest",
		"secret", "secrets", "secret_key", "secretkey", "client_secret", "secret_access_key", "shared_secret",
		"webhook_secret", "signing_secret",
		"private_key", "privatekey", "signing_key", "encryption_key", "api_key", "apikey", "api_secret", "api_token",
		"access_key",
		"token", "access_token", "accesstoken", "refresh_token", "refreshtoken", "auth_token", "bearer_token",
		"id_token", "session_token", "reset_token", "reset_password_token",
		"otp_secret", "totp_secret", "mfa_secret", "two_factor_secret", "recovery_codes", "backup_codes",
		"credentials", "decrypted_secret", "umoptions", "subconninfo":
		return true
	}
	return false
}

// secretOutput marks a statement whose answer shows a column that plainly holds
// secrets. Counting, comparing or testing such a column shows nothing.
func (j *judge) secretOutput(targets, from []*pg.Node) {
	shown := false
	var visit func(any)
	visit = func(m any) {
		switch x := m.(type) {
		case *pg.ColumnRef:
			parts := nameParts(x.GetFields())
			if len(parts) == 0 {
				return
			}
			last := parts[len(parts)-1]
			if last == "*" {
				shown = shown || secretStar(from)
				return
			}
			shown = shown || secretColumn(last)
		case *pg.NullTest, *pg.SubLink, *pg.BoolExpr:
			return
		case *pg.FuncCall:
			switch parts := nameParts(x.GetFuncname()); parts[len(parts)-1] {
			case "count", "length", "char_length", "octet_length", "bool_or", "bool_and":
				return
			}
			pgtree.Children(m, visit)
		case *pg.A_Expr:
			if op := nameParts(x.GetName()); len(op) > 0 &&
				(op[len(op)-1] == "||" || strings.HasPrefix(op[len(op)-1], "->") ||
					strings.HasPrefix(op[len(op)-1], "#>")) {
				pgtree.Children(m, visit)
			}
		default:
			pgtree.Children(m, visit)
		}
	}
	for _, n := range targets {
		if m := pgtree.Unwrap(n); m != nil && !shown {
			visit(m)
		}
	}
	if shown {
		j.trait(signalbox.TraitCredentials)
	}
}

// secretStar reports whether a * shows a relation that is named for secrets.
func secretStar(from []*pg.Node) bool {
	for _, n := range from {
		if v, ok := pgtree.Unwrap(n).(*pg.RangeVar); ok {
			switch strings.ToLower(v.GetRelname()) {
			case "secrets", "credentials", "user_credentials", "api_keys", "access_tokens", "api_tokens",
				"oauth_tokens", "refresh_tokens", "passwords", "decrypted_secrets", "vault_secrets", "private_keys":
				return true
			}
		}
	}
	return false
}
