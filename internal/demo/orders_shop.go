package demo

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/signalbox-dev/signalbox/internal/gate/pgwire"
	"github.com/signalbox-dev/signalbox/internal/secret"
	"github.com/signalbox-dev/signalbox/internal/server/config"
	"github.com/signalbox-dev/signalbox/test/pgtest"
)

const (
	gateName = "orders"
	database = "orders"
	role     = "signalbox" // the gate's own; no superuser
)

// set makes the database and the server with its gate. What it has made when
// it fails, strike removes.
func (o *orders) set(ctx context.Context, c Config) error {
	if err := o.clear(); err != nil {
		return err
	}
	var err error
	if o.outsiders, err = summon(ctx, c, o.folder, true); err != nil {
		return err
	}
	if o.postgres, err = pgtest.Start(ctx, pgtest.Config{}); err != nil {
		return err
	}
	password := rand.Text()
	if err := o.furnish(ctx, password); err != nil {
		return fmt.Errorf("fill the database: %w", err)
	}
	file := filepath.Join(o.folder, "orders.password")
	if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
		return err
	}
	return o.open(ctx, config.Gate{
		Name: gateName, Kind: "postgres", Environment: "production", Listen: "127.0.0.1:0",
		Settings: &pgwire.Settings{Upstream: pgwire.Server{
			Host: "127.0.0.1", Port: o.postgres.Port, Database: database,
			User: role, Password: secret.Source{File: file},
		}},
	}, "order 42 hangs: find out why and mend it")
}

// strike removes all that set has made.
func (o *orders) strike() {
	o.stage.strike()
	if o.postgres != nil {
		o.postgres.Close()
	}
}

// The database's size: orders, and the invoices that refer to customer 7.
const (
	numberOfOrders  = 5000
	invoicesOfSeven = 300
)

// furnish makes the production database of a small shop.
func (o *orders) furnish(ctx context.Context, password string) error {
	// A role for the gate, which owns what agents may change and is no
	// superuser. The password is of our making: letters and digits.
	if err := execute(ctx, o.postgres.URL("postgres"),
		"CREATE ROLE "+role+" LOGIN PASSWORD '"+password+"'; ", "CREATE DATABASE "+database+" OWNER "+role+
			" TEMPLATE template0"); err != nil {
		return err
	}
	return execute(ctx, o.postgres.URL(database), fmt.Sprintf(`
SET ROLE %s;
CREATE TABLE customers (id int PRIMARY KEY, number text NOT NULL UNIQUE, name text NOT NULL);
CREATE TABLE orders (id int PRIMARY KEY, customer int NOT NULL, status text NOT NULL, cents int NOT NULL);
CREATE TABLE invoices (id int PRIMARY KEY, customer text NOT NULL REFERENCES customers (number) ON UPDATE CASCADE, cents int NOT NULL);
INSERT INTO customers SELECT i, 'C-' || i, 'Customer ' || i FROM generate_series(1, 50) i;
INSERT INTO orders SELECT i, 1 + i %% 50, CASE i WHEN 42 THEN 'pending' ELSE 'shipped' END, 100 * i FROM generate_series(1, %d) i;
INSERT INTO invoices SELECT i, 'C-7', 100 * i FROM generate_series(1, %d) i;
ANALYZE customers; ANALYZE orders; ANALYZE invoices;
RESET ROLE;
CREATE SCHEMA backup;
CREATE TABLE backup.orders AS SELECT * FROM orders`, role, numberOfOrders, invoicesOfSeven))
}

// execute runs SQL on the database itself, past the gate.
func execute(ctx context.Context, url string, statements ...string) error {
	conn, err := pgconn.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql).ReadAll(); err != nil {
			return err
		}
	}
	return nil
}
