// Package policies holds the default policies and the schema that all policies
// are written against. They are files to be read: see the *.cedar files beside
// this one, and docs/policy.md.
//
// The one thing to know before using it: a folder of an operator's replaces the
// default policies as a whole; only the schema is added where it has none.
package policies

import (
	"embed"
	"io/fs"
	"path"
	"slices"

	"github.com/signalbox-dev/signalbox/internal/interlock/policy"
)

//go:embed *.cedar *.cedarschema reviewed.txt tests/*.yaml
var files embed.FS

// Default gives the files of the default set.
func Default() ([]policy.File, error) { return policy.Files(files) }

// Tests gives the tests of the default set, in the form that [policy.Test] reads.
func Tests() ([]policy.File, error) {
	sub, err := fs.Sub(files, "tests")
	if err != nil {
		return nil, err
	}
	return policy.TestFiles(sub)
}

// Folder gives the files of the set in dir, with the default schema if dir has
// none.
func Folder(dir string) ([]policy.File, error) {
	given, err := policy.Files(plainFS(dir))
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(given, isSchema) {
		return given, nil
	}
	own, err := Default()
	if err != nil {
		return nil, err
	}
	return append(given, own[slices.IndexFunc(own, isSchema)]), nil
}

func isSchema(f policy.File) bool { return path.Ext(f.Name) == ".cedarschema" }
