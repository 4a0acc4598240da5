package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// versions is the table in which goose keeps what was migrated. It marks a
// database as ours.
const versions = "signalbox_version"

// migrate brings the tables up to date. tables lists those that are there.
func migrate(ctx context.Context, dialect goose.Dialect, conn *sql.DB, tables []string) error {
	ours := len(tables) == 0
	for _, t := range tables {
		ours = ours || t == versions
	}
	if !ours {
		return fmt.Errorf("%w: it has table %q and others, but not %q", ErrForeign, tables[0], versions)
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(dialect, conn, files, goose.WithTableName(versions),
		goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	have, err := p.GetDBVersion(ctx)
	if err != nil {
		return fmt.Errorf("read the version of the tables: %w", err)
	}
	sources := p.ListSources()
	if newest := sources[len(sources)-1].Version; have > newest {
		return fmt.Errorf("%w: its tables have version %d, this program knows up to %d; run the newer program, or restore a copy made before the upgrade", ErrNewer, have, newest)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate from version %d: %w", have, err)
	}
	return nil
}
