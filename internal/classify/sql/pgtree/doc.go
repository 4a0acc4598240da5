// Package pgtree reads the tree that PostgreSQL's own parser makes of a text, and
// walks it. It knows every kind of node there is and what none of them means.
package pgtree

//go:generate go run gen.go
