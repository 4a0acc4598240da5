// Package regress runs PostgreSQL's own regression files twice, by two routes to
// like servers, and compares what psql printed, byte for byte.
//
// The files were written to find out whether a PostgreSQL is one, and so they
// find out whether a gate in front of it changes anything: 200 files of every
// statement, error, notice and COPY. The expected output that comes with them is
// not used: it depends on how the server was built, and both routes lead to the
// same build.
//
// The files are PostgreSQL's and not in this repository; `make setup` takes them
// from the distribution's source package. A route names the files that cannot go by
// it, each with the reason; straight to the server, all of them can.
package regress
