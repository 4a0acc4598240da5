// Command fsck has Tessera's fsck library check a whole log.
//
//	fsck LOG VKEY
//	fsck ./signalbox-data/log log.vkey
//	fsck https://gate.example/log/ gate.example/log+1a2b3c4d+AbCd…
//
// LOG is a folder or a URL; VKEY the log's verifier key, or a file that holds it.
// Unlike Tessera's own command, version 1.0.4, it exits with 1 when the log is not
// what its checkpoint says, and it does not hang when much is corrupt.
package main

import (
	"context"
	"fmt"
	"github.com/signalbox-dev/signalbox/test/foreign"
	"os"
	"os/signal"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: fsck LOG VKEY    LOG is a folder or URL, VKEY a verifier key or a file with it")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "fsck: NOT VERIFIED:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, source, vkey string) error {
	if text, err := os.ReadFile(vkey); err == nil {
		vkey = string(text)
	}
	return foreign.Fsck(ctx, source, vkey)
}
