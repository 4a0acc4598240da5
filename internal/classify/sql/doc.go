// Package sql says what a text of PostgreSQL's SQL does, without running it.
package sql
