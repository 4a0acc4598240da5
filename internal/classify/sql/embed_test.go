package sql

import _ "embed"

//go:embed testdata/volatile.txt
var volatileText string
