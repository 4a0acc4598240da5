package pgwire

import (
	"fmt"
	"strconv"

	"github.com/signalbox-dev/signalbox/internal/gate"
)

func text(a gate.Access) string {
	return fmt.Sprintf("%s:%d database %s user %s password %s", a.Host, a.Port, a.Database, a.User, a.Password)
}

// variables are those of libpq, which know one server alone.
func variables(gates []gate.Access, _ gate.Folder) ([]string, error) {
	if len(gates) != 1 {
		return nil, nil
	}
	g := gates[0]
	vars := []string{"PGHOST=" + g.Host, "PGPORT=" + strconv.Itoa(g.Port), "PGUSER=" + g.User, "PGPASSWORD=" +
		g.Password}
	if g.Database != "" {
		vars = append(vars, "PGDATABASE="+g.Database)
	}
	return append(vars, "PGSSLMODE=verify-full", "PGSSLROOTCERT="+g.CAFile, "PGGSSENCMODE=disable"), nil
}

// leaks are what libpq and its tools read, a family that grows with each version, and
// addresses of databases.
var leaks = []gate.Leak{
	{Name: "PG*", Reason: "credentials of PostgreSQL, and whatever leads its tools elsewhere or makes them somebody else"},
	{Value: "postgres://", Reason: "an address of a database"},
	{Value: "postgresql://", Reason: "an address of a database"},
}

var harmless = []string{
	"PGTZ", "PGDATESTYLE", "PGCLIENTENCODING", "PGAPPNAME", "PGCONNECT_TIMEOUT", "PGLOCALEDIR", "PG_COLOR", "PG_COLORS",
}
