package sql

import (
	"testing"

	"github.com/signalbox-dev/signalbox"
)

// What opens doors says so, and what closes them or opens one of many does not.
func TestOpenDoors(t *testing.T) {
	admin, public := signalbox.TraitAdmin, signalbox.TraitPublic
	for text, want := range map[string]signalbox.Trait{
		"ALTER ROLE CURRENT_USER SUPERUSER": admin, "ALTER ROLE me BYPASSRLS": admin,
		"ALTER ROLE me CREATEROLE": admin, "ALTER USER me REPLICATION": admin,
		"CREATE ROLE deploy LOGIN SUPERUSER": admin, "CREATE USER deploy CREATEROLE": admin,
		"GRANT pg_execute_server_program TO app": admin, "GRANT pg_write_all_data TO app": admin,
		"GRANT postgres TO mallory":              admin,
		"GRANT app TO mallory WITH ADMIN OPTION": admin, "REASSIGN OWNED BY a TO b": admin,
		"ALTER DATABASE app OWNER TO mallory":                 admin,
		"GRANT ALL ON ALL TABLES IN SCHEMA public TO analyst": admin, "GRANT SELECT ON t TO a WITH GRANT OPTION": admin,
		"GRANT SELECT ON customers TO PUBLIC": public, "GRANT EXECUTE ON FUNCTION f() TO app, PUBLIC": public,
		"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO PUBLIC": public,
		"ALTER ROLE me NOSUPERUSER": "", "REVOKE SELECT ON t FROM PUBLIC": "",
		"REVOKE pg_write_all_data FROM app": "", "GRANT SELECT ON t TO app": "",
		"GRANT SELECT ON ALL TABLES IN SCHEMA public TO app": "", "CREATE ROLE app LOGIN": "",
		"GRANT app_read TO app": "", "GRANT pg_monitor TO app": "",
		"ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE SELECT ON TABLES FROM PUBLIC": "",
		"ALTER ROLE me CREATEDB": "",
	} {
		a := Classify(text, nil).Statements[0].Action
		for _, trait := range []signalbox.Trait{admin, public} {
			if a.Has(trait) != (trait == want) {
				t.Errorf("%s: %s %v", text, a.Verb, a.Traits)
			}
		}
	}
	for text, want := range map[string]signalbox.Verb{
		"ALTER TABLE t FORCE ROW LEVEL SECURITY": signalbox.Safeguard,
		"ALTER TABLE t REPLICA IDENTITY NOTHING": signalbox.Safeguard,
		"ALTER TABLE t REPLICA IDENTITY FULL":    signalbox.Update,
	} {
		if a := Classify(text, nil).Statements[0].Action; a.Verb != want {
			t.Errorf("%s: %s", text, a.Verb)
		}
	}
}
